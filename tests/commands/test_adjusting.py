"""``windfirm prune --adjust``: what each adjustment writes down, and where initial weights are found."""

import json
import shutil
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.commands.toys import NET, checkpoint, complaint, folder, listing, network, run, run_json
from windfirm.adjust.adjustments import ADJUSTMENTS
from windfirm.adjust.epoch import epoch
from windfirm.adjust.recipe import Epoch
from windfirm.adjust.train import train
from windfirm.adjust.training import Training
from windfirm.cli import main
from windfirm.commands.declare.groups import ADJUSTMENTS as TOLD
from windfirm.models.checkpoint import load, read_notes, save
from windfirm.prune import schedule

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with 16 images and F, trained in ``run`` as windfirm train would leave it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder(tmp_path / "data", side=8)
    (tmp_path / "run").mkdir()
    checkpoint(tmp_path / "run" / "model.safetensors")
    torch.manual_seed(1)
    save(network(), tmp_path / "run" / "initial.safetensors", classes=2)


def words(*more: str, model: str = "run") -> list[str]:
    return ["prune", model, "--factory", NET, "--data", "data", "--criterion", "l1", "--macs", "0.6", *more]


@pytest.mark.parametrize("name", ADJUSTMENTS)
def test_every_adjustment_has_its_control_and_its_record(capsys: Capture, name: str) -> None:
    last = name.startswith(("scratch", "w-"))
    trains = name != "bn-only"
    how = ("--adjust", name, "--control", "--rounds", "2", *(("--epochs", "2") if trains else ()))
    record = run_json(capsys, *words(*how, "--out", "out"))
    assert listing(Path("out")) == [
        "MODEL_CARD.md",
        "control.safetensors",
        "model.safetensors",
        "record.json",
        "report.html",
    ]
    told = record["adjustment"]
    runs = 1 if last else 2
    wanted = [2 if trains else 0] * runs
    longer = [round(2 * record["before"]["macs"] / record["after"]["macs"])] if name == "scratch-b" else wanted
    assert told["epochs"] == {"pruned": longer, "control": wanted}
    assert (record["adjust"], told["name"]) == (name, name)
    assert told["after"] == ("the last round" if last else "every round")
    assert told["initial"] == ("initial.safetensors" if name == "w-ticket" else None)
    assert (told["recipe"] is not None) == trains
    control, original = load("out/control.safetensors", network), load("run/model.safetensors", network)
    changed = {key for key, value in original.state_dict().items() if not torch.equal(value, control.state_dict()[key])}
    assert changed == (set(original.state_dict()) if trains else {f"1.{end}" for end in STATISTICS})


def test_an_interrupted_run_goes_on_with_the_epoch_that_it_was_in(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in the last epoch of the control's first training; what was trained before is not trained again."""
    how = words("--adjust", "fine-tuning", "--epochs", "2", "--rounds", "2", "--control")
    begun: list[int] = []

    def counted(training: Training, *rest: Any) -> Generator[None, None, Epoch]:
        begun.append(len(training.history) + 1)
        if len(begun) == 6:
            raise KeyboardInterrupt
        return epoch(training, *rest)

    monkeypatch.setattr(sys.modules[train.__module__], "epoch", counted)
    assert main([*how, "--out", "out"]) == 130
    assert listing(Path("out")) == [f"progress-{name}.safetensors" for name in ("control-1", "pruned-1", "pruned-2")]
    run(capsys, *how, "--out", "out")
    assert begun == [1, 2, 1, 2, 1, 2, 2, 1, 2]
    run(capsys, *how, "--out", "undisturbed")
    assert listing(Path("out")) == listing(Path("undisturbed"))
    for name in ("model.safetensors", "control.safetensors"):
        assert all(map(torch.equal, weights(f"out/{name}"), weights(f"undisturbed/{name}")))


@pytest.fixture
def interrupted(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[str]], None]:
    """A way to run a command that is interrupted when it has trained."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    def run(argv: list[str]) -> None:
        with monkeypatch.context() as here:
            here.setattr("windfirm.commands.pruning_record.cost", killed)
            assert main(argv) == 130
        capsys.readouterr()

    return run


def test_the_state_of_another_run_is_refused(capsys: Capture, interrupted: Callable[[list[str]], None]) -> None:
    how = words("--adjust", "fine-tuning", "--epochs", "1", "--out", "out")
    interrupted(how)
    assert complaint(capsys, *how, "--seed", "1") == (
        "windfirm prune: out/progress-pruned-1.safetensors: expected the state of this run, got one of another run; "
        "the folder needs another name, or the file removing"
    )


def test_a_run_that_is_done_leaves_no_state_also_of_what_it_was_not_asked_for(
    capsys: Capture, interrupted: Callable[[list[str]], None]
) -> None:
    how = words("--adjust", "fine-tuning", "--epochs", "1", "--out", "out")
    interrupted([*how, "--control"])
    assert len(listing(Path("out"))) == 2
    run(capsys, *how)
    assert not [name for name in listing(Path("out")) if "progress" in name]


def test_weights_in_the_current_folder_are_none_of_a_function(capsys: Capture) -> None:
    shutil.copy("run/initial.safetensors", "initial.safetensors")
    said = complaint(capsys, *words("--adjust", "w-ticket", "--out", "out", model=NET))
    assert said.startswith(f"windfirm prune: --initial: expected the weights of {NET} before training, ")


def test_a_run_by_measured_time_leaves_no_state(
    monkeypatch: pytest.MonkeyPatch, interrupted: Callable[[list[str]], None]
) -> None:
    """Its cuts would not come out the same again; here on a clock that runs with the parameters."""
    clock = lambda example: lambda models: [sum(p.numel() for p in model.parameters()) for model in models]  # noqa: E731
    monkeypatch.setattr(schedule, "by_turns", clock)
    how = words("--adjust", "fine-tuning", "--epochs", "1", "--out", "out")
    interrupted(["--latency" if word == "--macs" else word for word in how])
    assert not Path("out").exists()


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def test_what_was_done_is_told(capsys: Capture) -> None:
    lines = run(
        capsys, *words("--adjust", "fine-tuning", "--epochs", "2", "--rounds", "2", "--out", "out")
    ).splitlines()
    assert "adjusted by fine-tuning: 2 + 2 epochs" in lines
    lines = run(capsys, *words("--adjust", "bn-only", "--out", "out")).splitlines()
    assert "adjusted by bn-only: no training" in lines
    assert "adjusted by" not in run(capsys, *words("--out", "out"))


def weights(path: str) -> list[torch.Tensor]:
    return list(load(path, network).parameters())


def test_the_folder_of_a_run_is_not_taken_for_a_factory(capsys: Capture) -> None:
    run(capsys, *words("--out", "out"))
    assert read_notes("out/model.safetensors")["factory"] == NET


def test_initial_weights_are_those_beside_the_model_or_those_that_are_named(capsys: Capture) -> None:
    how = ("--adjust", "w-ticket", "--epochs", "1")
    run(capsys, *words(*how, "--out", "beside"))
    run(capsys, *words(*how, "--out", "file", model="run/model.safetensors"))
    shutil.move("run/initial.safetensors", "elsewhere.safetensors")
    run(capsys, *words(*how, "--initial", "elsewhere.safetensors", "--out", "named"))
    run(capsys, *words(*how, "--initial", "run/model.safetensors", "--out", "other"))
    beside = Path("beside/model.safetensors")
    assert all(map(torch.equal, weights(str(beside)), weights("file/model.safetensors")))
    assert all(map(torch.equal, weights(str(beside)), weights("named/model.safetensors")))
    assert not all(map(torch.equal, weights(str(beside)), weights("other/model.safetensors")))
    assert json.loads(Path("named/record.json").read_text())["adjustment"]["initial"] == "elsewhere.safetensors"


def test_the_weights_inside_the_package_have_their_initial_ones(capsys: Capture) -> None:
    """Told by what is asked for first after them: images."""
    text = complaint(capsys, "prune", "resnet56", "--adjust", "w-ticket", "--macs", "0.5", "--data", "no", "--out", "o")
    assert text.startswith("windfirm prune: data: expected")


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (
            ("--adjust", "w-ticket"),
            "--initial: expected the weights of F.safetensors before training, which windfirm train keeps in "
            "initial.safetensors, got none, and none beside it",
        ),
        (
            ("--adjust", "w-ticket", "--initial", "no.safetensors"),
            "no.safetensors: expected a safetensors file, got no such file",
        ),
        (
            ("--adjust", "scratch-e", "--initial", "run/initial.safetensors"),
            "--initial: expected an --adjust that starts from it, w-ticket, got scratch-e",
        ),
        (("--initial", "run/initial.safetensors"), "--initial: expected an --adjust that starts from it, got none"),
        (("--adjust", "bn-only", "--epochs", "2"), "bn-only: expected no recipe, as it trains nothing, got epochs"),
        (
            ("--adjust", "distill", "--defence", "mixup"),
            "distill: expected no other objective than its own, got mixup",
        ),
    ],
)
def test_options_that_cannot_be_used(capsys: Capture, more: tuple[str, ...], text: str) -> None:
    shutil.copy("run/model.safetensors", "F.safetensors")
    before = listing(Path())
    assert complaint(capsys, *words(*more, "--out", "out", model="F.safetensors")) == f"windfirm prune: {text}"
    assert listing(Path()) == before


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.network, self.scale = network(), nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x) * self.scale  # type: ignore[no-any-return]


def test_a_parameter_that_cannot_be_made_anew_is_named_and_nothing_is_left(capsys: Capture) -> None:
    how = ("--data", "data", "--criterion", "l1", "--macs", "0.6", "--adjust", "scratch-e", "--epochs", "1")
    text = complaint(capsys, "prune", f"{__name__}:Scaled", *how, "--out", "out")
    assert text == (
        "windfirm prune: fresh weights: expected parameters that a reset_parameters of their module makes anew, "
        "got none for scale"
    )
    assert not Path("out").exists()


def test_the_help_names_every_adjustment() -> None:
    assert TOLD.split(", ") == list(ADJUSTMENTS) == sorted(ADJUSTMENTS)
