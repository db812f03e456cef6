import errno
import importlib
import io
import json
import os
import runpy
import signal
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.commands.toys import NET, checkpoint, complaint, folder, listing, run
from windfirm.adjust.adjustments import ADJUSTMENTS
from windfirm.adjust.schedule import SCHEDULES
from windfirm.attack.registry import ATTACKS
from windfirm.cli import main
from windfirm.defend.registry import DEFENCES
from windfirm.models.factory import NAMES, UNNAMED
from windfirm.models.registry import ARCHITECTURES
from windfirm.prune.criteria import CRITERIA
from windfirm.prune.select import RANKINGS
from windfirm.study.find import builtin

COMMANDS = (
    "quickstart",
    "data",
    "train",
    "train-stylizer",
    "inspect",
    "prune",
    "attack",
    "compare",
    "run",
    "study",
    "report",
    "reproduce",
    "export",
)
ACTIONS = [
    *(["data", name] for name in ("fetch", "list", "verify")),
    *(["study", name] for name in ("ls", "show", "rows", "gc", "verify")),
]
KINDS = "a checkpoint, a built-in name, timm/NAME, torchvision/NAME or module:factory"

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in an empty folder of its own, with no data set fetched."""
    monkeypatch.setenv("WINDFIRM_HOME", str(tmp_path / "home"))
    place = tmp_path / "here"
    place.mkdir()
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return place


def help_of(capsys: Capture, *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main([*words, "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_help_fits_the_terminal_and_is_never_wider_than_100(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for words in ([], *([name] for name in COMMANDS), *ACTIONS):
        text = help_of(capsys, *words).partition("examples:")[0]
        assert max(map(len, text.splitlines())) <= min(columns, 100)


def test_the_first_help_names_every_command_in_one_line_each_and_the_way_to_start(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    lines = help_of(capsys).splitlines()
    assert [line.split()[0] for line in lines[lines.index("commands:") + 1 :][: len(COMMANDS)]] == list(COMMANDS)
    assert lines[-2:] == ["start with:", "  windfirm quickstart"]


def test_every_command_takes_json_seed_and_device_and_shows_examples(capsys: Capture) -> None:
    for name in COMMANDS:
        text = help_of(capsys, name)
        assert "\nexamples:\n  windfirm" in text
        if name not in ("data", "study"):
            assert all(option in text for option in ("--json", "--seed N", "--device D"))
    for words in ACTIONS:
        assert all(option in help_of(capsys, *words) for option in ("--json", "--seed N", "--device D"))


def test_help_names_what_there_is(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    for command, names in (
        ("attack", ATTACKS),
        ("compare", ATTACKS),
        ("prune", [*CRITERIA, *RANKINGS, *ADJUSTMENTS, *DEFENCES]),
        ("train", [*SCHEDULES, *DEFENCES]),
        ("run", builtin()),
    ):
        words = help_of(capsys, command).replace(",", " ").replace(";", " ").split()
        assert set(names) <= set(words)
    assert {name.removeprefix("resnet") for name in ARCHITECTURES} <= {
        word.removeprefix("resnet") for word in help_of(capsys, "train").replace(",", " ").split()
    }


def test_every_command_has_its_module() -> None:
    for name in COMMANDS:
        assert callable(importlib.import_module(f"windfirm.commands.{name.replace('-', '_')}").run)


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert (end.value.code, capsys.readouterr().out) == (0, "windfirm 0.1.0\n")


def test_the_package_runs_as_the_command_does(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["somewhere/windfirm/__main__.py", "study", "ls", "nowhere"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module("windfirm", run_name="__main__", alter_sys=True)
    wanted = "windfirm study: nowhere: expected the folder of a study, with a study.sqlite, got none\n"
    assert (end.value.code, capsys.readouterr().err) == (2, wanted)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "windfirm: the following arguments are required: COMMAND; see windfirm --help"),
        (
            ["prun"],
            f"windfirm: COMMAND: expected {' or '.join(COMMANDS)}, got prun; did you mean prune? See windfirm --help",
        ),
        (
            ["attack", "m", "--image", "3"],
            "windfirm attack: arguments: expected those it knows, got --image; did you mean --images? "
            "See windfirm attack --help",
        ),
        (
            ["data", "list", "--bogus"],
            "windfirm data list: arguments: expected those it knows, got --bogus; see windfirm data list --help",
        ),
        (
            ["data", "fecth"],
            "windfirm data: ACTION: expected fetch or list or verify, got fecth; did you mean fetch? "
            "See windfirm data --help",
        ),
        (["prune", "m"], "windfirm prune: the following arguments are required: --out; see windfirm prune --help"),
        (
            ["prune", "m", "--out", "o", "--macs", "half"],
            "windfirm prune: --macs: expected a number in (0, 1), got half; see windfirm prune --help",
        ),
        (
            ["prune", "m", "--out", "o", "--macs", "0.5", "--rounds", "0"],
            "windfirm prune: --rounds: expected a whole number of at least 1, got 0; see windfirm prune --help",
        ),
        (
            ["prune", "m", "--out", "o", "--macs", "0.5", "--floor", "2"],
            "windfirm prune: --floor: expected a number in [0, 1], got 2; see windfirm prune --help",
        ),
        (
            ["prune", "m", "--out", "o", "--macs", "0.5", "--adjust", "fine-tuning", "--epochs", "0"],
            "windfirm prune: --epochs: expected a whole number of at least 1, got 0; see windfirm prune --help",
        ),
        (
            ["attack", "m", "--images", "-5"],
            "windfirm attack: --images: expected a whole number of at least 1, got -5; see windfirm attack --help",
        ),
        (
            ["attack", "m", "--trials", "0"],
            "windfirm attack: --trials: expected a whole number of at least 1, got 0; see windfirm attack --help",
        ),
        (
            ["attack", "m", "--seed", "one"],
            "windfirm attack: --seed: expected a whole number, got one; see windfirm attack --help",
        ),
        (
            ["train", "resnet20", "--lr", "nan"],
            "windfirm train: --lr: expected a number above 0, got nan; see windfirm train --help",
        ),
        (
            ["train", "resnet20", "--weight-decay", "-1"],
            "windfirm train: --weight-decay: expected a number of at least 0, got -1; see windfirm train --help",
        ),
        (
            ["attack", "m", "--option", "steps"],
            "windfirm attack: --option: expected NAME=VALUE, such as steps=20, got steps; see windfirm attack --help",
        ),
        (
            ["attack", "m", "--attack"],
            "windfirm attack: --attack: expected one argument; see windfirm attack --help",
        ),
        (
            ["inspect", "m", "--input", "32"],
            "windfirm inspect: --input: expected three sizes, such as 3,32,32, got 32; see windfirm inspect --help",
        ),
        (
            ["attack", "m", "--input", "3,0,1"],
            "windfirm attack: --input: expected three sizes, such as 3,32,32, got 3,0,1; see windfirm attack --help",
        ),
        (
            ["attack", "m", "--mean", "red"],
            "windfirm attack: --mean: expected a number for each channel, such as 0.485,0.456,0.406, got red; "
            "see windfirm attack --help",
        ),
        (
            ["attack", "m", "--std", "0.2,0,0.2"],
            "windfirm attack: --std: expected a number above 0 for each channel, such as 0.229,0.224,0.225, "
            "got 0.2,0,0.2; see windfirm attack --help",
        ),
        (
            ["attack", "m", "--resize", "stretch"],
            "windfirm attack: --resize: expected crop or squash or pad, got stretch; see windfirm attack --help",
        ),
    ],
)
def test_words_that_cannot_be_parsed(capsys: Capture, words: list[str], text: str) -> None:
    assert complaint(capsys, *words) == text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["attack", "resnet57"],
            f"attack: resnet57: expected {KINDS}, got no such file or name; did you mean resnet56?",
        ),
        (["attack", "no/where"], f"attack: no/where: expected {KINDS}, got no such file or name"),
        (["inspect", "timm/"], f"inspect: timm/: expected {KINDS}, got no such file or name"),
        (["attack", "a.safetensors"], "attack: a.safetensors: expected a safetensors file, got no such file"),
        (
            ["attack", "resnet32"],
            "attack: resnet32: expected trained weights, got none in the package; run `windfirm train resnet32`",
        ),
        (
            ["inspect", "nowhere:make"],
            "inspect: nowhere:make: expected a module:factory that can be imported, "
            "got ModuleNotFoundError: No module named 'nowhere'",
        ),
        (
            ["inspect", "tests.commands.toys:nothing"],
            "inspect: tests.commands.toys:nothing: expected a module:factory that can be imported, "
            "got AttributeError: module 'tests.commands.toys' has no attribute 'nothing'",
        ),
        (
            ["inspect", "tests.commands.toys:not_a_network"],
            "inspect: tests.commands.toys:not_a_network: expected a function that makes a torch.nn.Module, got str",
        ),
        (
            ["inspect", "tests.commands.toys:broken"],
            "inspect: tests.commands.toys:broken: expected a function that makes a torch.nn.Module, "
            "got KeyError: 'width'",
        ),
        (
            ["inspect", "resnet20", "--device", "gpu"],
            "inspect: --device: expected auto, cpu or cuda, got gpu; see windfirm inspect --help",
        ),
        (
            ["inspect", "tests.commands.toys:not_a_network", "--classes", "5"],
            "inspect: --classes: expected a MODEL that is a name, to make it so, got tests.commands.toys:not_a_network",
        ),
        (["attack", NET, "--eps", "8"], "attack: eps: expected a number in [0, 1], such as 8/255, got 8"),
        (
            ["attack", NET, "--attack", "fsgm"],
            f"attack: attack: expected one of {', '.join(ATTACKS)}, or package.module:attack, "
            "got fsgm; did you mean fgsm?",
        ),
        (
            ["attack", NET, "--attack", "pgd", "--attack", "fgsm", "--option", "stepz=3"],
            "attack: --option: expected options of pgd, fgsm: steps, step, restarts, norm, got stepz; "
            "did you mean step?",
        ),
        (
            ["attack", NET, "--attack", "fgsm", "--option", "steps=3"],
            "attack: --option: expected options of fgsm: there are none, got steps",
        ),
        (
            ["attack", NET, "--attack", "pgd", "--option", "steps=few"],
            "attack: pgd: expected steps as a whole number, got few",
        ),
        (
            ["attack", NET, "--data", "imagenet"],
            "attack: data: expected cifar10, embedded, a folder of class folders or package.module:factory, "
            "got imagenet",
        ),
        (
            ["attack", NET, "--data", "embeded"],
            "attack: data: expected cifar10, embedded, a folder of class folders or package.module:factory, "
            "got embeded; did you mean embedded?",
        ),
        (
            ["attack", NET],
            "attack: tests.commands.toys:network: expected outputs of shape (1, 10) for the classes of embedded/test, "
            "got (1, 2)",
        ),
        (["compare", NET, NET, "--out", "a.pdf"], "compare: --out: expected a name that ends in .html, got a.pdf"),
        (
            ["prune", NET, "--out", "o", "--macs", "0.5", "--criterion", "psl"],
            f"prune: --criterion: expected {' or '.join(CRITERIA)} or package.module:criterion, got psl; "
            "did you mean pls?",
        ),
        (
            ["prune", NET, "--out", "o", "--macs", "0.5", "--ranking", "xyz"],
            "prune: --ranking: expected global or per-layer, got xyz",
        ),
        (
            ["prune", NET, "--out", "o", "--macs", "0.5", "--structure", "filter"],
            "prune: --structure: expected filters or layers or both, got filter; did you mean filters?",
        ),
        (
            ["prune", NET, "--out", "o"],
            "prune: budget: expected exactly one of rate, ratio, macs, params or latency, got none",
        ),
        (
            ["prune", NET, "--out", "o", "--ratio", "0.1", "--macs", "0.5"],
            "prune: budget: expected exactly one of rate, ratio, macs, params or latency, got ratio and macs",
        ),
        (
            ["prune", NET, "--out", "o", "--macs", "0.5", "--choose", "cka"],
            "prune: --choose: expected --structure both, whose rule it is, got --structure filters",
        ),
        (
            ["attack", "resnet56", "timm/resnet18", "--factory", NET],
            "attack: --factory: expected a MODEL that is a checkpoint, to read it, got resnet56 and timm/resnet18",
        ),
        (
            ["attack", NET, "--attack", "fgsm", "--attack", "pgd", "--trials", "5"],
            "attack: --trials: expected an attack that is the mean of several draws, got fgsm, pgd",
        ),
        (
            ["attack", NET, "--attack", "clean", "--attack", "semantic", "--eps", "8/255"],
            "attack: --eps: expected an attack that goes as far as it says, got clean, semantic",
        ),
        (
            ["compare", NET, NET, "--attack", "semantic", "--sweep", "occlusion:size=4,8", "--eps", "2/255", "--json"],
            "compare: --eps: expected an attack that goes as far as it says, got semantic, clean, occlusion",
        ),
        (
            ["prune", NET, "--out", "o", "--macs", "0.5", "--choose", "kl"],
            "prune: --choose: expected alternate or kl-divergence or cka or coin, got kl",
        ),
        (
            ["prune", NET, "--out", "o", "--macs", "0.5", "--criterion", f"{NET}_of_mine"],
            f"prune: {NET}_of_mine: expected a module:criterion that can be imported, "
            "got AttributeError: module 'tests.commands.toys' has no attribute 'network_of_mine'; "
            "did you mean network?",
        ),
        (
            ["prune", NET, "--out", "o", "--macs", "0.5", "--criterion", NET],
            f"prune: {NET}: expected a function made a criterion by windfirm.criterion, got function",
        ),
        (
            ["prune", NET, "--out", "o", "--rate", "0.1", "--criterion", "l1", "--structure", "layers"],
            "prune: prune: expected a network with residual blocks that can go, got none; see windfirm inspect",
        ),
        (
            ["prune", NET, "--out", "o", "--macs", "0.5", "--adjust", "scratch"],
            f"prune: --adjust: expected {' or '.join(ADJUSTMENTS)}, got scratch; did you mean scratch-e?",
        ),
        (
            ["prune", NET, "--out", "o", "--macs", "0.5", "--control"],
            "prune: --control: expected an --adjust to repeat on the unpruned network, got none",
        ),
        (
            ["prune", NET, "--out", "o", "--macs", "0.5", "--epochs", "3"],
            "prune: --epochs: expected an --adjust that trains, got none",
        ),
        (
            ["prune", NET, "--out", "o", "--macs", "0.5", "--criterion", "l1", "--protect", "layer1.*"],
            "prune: --protect: expected a pattern for groups such as 0, got layer1.*",
        ),
        (
            ["prune", NET, "--out", "o", "--macs", "0.5"],
            "prune: tests.commands.toys:network: expected outputs of shape (1, 10) for the classes of embedded/train, "
            "got (1, 2)",
        ),
        (
            ["train", "resnet57"],
            f"train: architecture: expected {NAMES}, or package.module:factory, got 'resnet57'; did you mean resnet56?",
        ),
        (
            ["train", "resnet20", "--schedule", "steps"],
            "train: --schedule: expected onecycle or step, got steps; did you mean step?",
        ),
        (
            ["train", "resnet20", "--defence", "mix-up"],
            f"train: defence: expected one of {', '.join(DEFENCES)}, or package.module:defence, "
            "got mix-up; did you mean mixup?",
        ),
        (["train", "resnet20", "--eps", "4/255"], "train: --eps: expected a --defence that it is for, got none"),
        (
            ["train", "resnet20", "--defence", "fast-at", "--eps", "4"],
            "train: eps: expected a number in [0, 1], such as 8/255, got 4",
        ),
        (["train", "resnet20", "--defence", "mixup", "--eps", "0.1"], "train: mixup: expected no options, got eps"),
        (
            ["prune", NET, "--out", "o", "--macs", "0.5", "--defence", "mixup"],
            "prune: --defence: expected an --adjust that trains with it, got none",
        ),
        (["data", "verify", "mnist"], "data: data verify: expected cifar10 or embedded, got mnist"),
        (["data", "fetch", "mnist"], "data: data fetch: expected cifar10, got mnist"),
        (
            ["data", "fetch", "cifar10", "--from", "no.tar.gz"],
            "data: --from: expected a file or a folder, got no.tar.gz, which is neither",
        ),
    ],
)
def test_input_that_cannot_be_used(capsys: Capture, here: Path, words: list[str], text: str) -> None:
    assert complaint(capsys, *words) == f"windfirm {text}"
    assert listing(here.parent) == ["here"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine with a GPU")
def test_a_gpu_that_is_not_there(capsys: Capture) -> None:
    text = complaint(capsys, "attack", NET, "--device", "cuda")
    assert text == "windfirm attack: --device cuda: expected a GPU that PyTorch can use, got none on this machine"


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_an_extra_that_is_not_installed(capsys: Capture, monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setitem(sys.modules, f"{library}.models", None)
    text = complaint(capsys, "inspect", f"{library}/resnet18")
    wanted = f"the extra windfirm[{library}], got an environment without it"
    assert text == f"windfirm inspect: {library}/resnet18: expected {wanted}"


def test_a_data_set_that_was_not_fetched(capsys: Capture, here: Path) -> None:
    path = here.parent / "home" / "data" / "cifar10" / "test_images.npy"
    wanted = f"{path}: expected a stored array, got no such file; run `windfirm data fetch cifar10`"
    assert complaint(capsys, "attack", NET, "--data", "cifar10") == f"windfirm attack: {wanted}"


def test_checkpoints_that_cannot_be_loaded(capsys: Capture, here: Path) -> None:
    whole = checkpoint(here / "whole.safetensors").read_bytes()
    Path("cut.safetensors").write_bytes(whole[:-100])
    Path("other.pt").write_bytes(b"\x80\x02}q\x00.")
    save_file({"weight": torch.full((2,), torch.nan)}, "nan.safetensors")
    save_file({"weight": torch.zeros(2)}, "small.safetensors")
    network = f"--factory={NET}"
    begin = "windfirm attack: "
    assert complaint(capsys, "attack", "cut.safetensors", network).startswith(
        f"{begin}cut.safetensors: expected a whole safetensors file, got "
    )
    assert complaint(capsys, "attack", "other.pt", network).startswith(
        f"{begin}other.pt: expected a whole file that torch.save wrote, got "
    )
    nan = complaint(capsys, "attack", "nan.safetensors", network)
    assert nan == f"{begin}nan.safetensors: weight: expected numbers, got NaN"
    misfit = complaint(capsys, "attack", "small.safetensors", network)
    assert misfit == f"{begin}small.safetensors: 0.weight: expected shape (6, 3, 3, 3), got no such tensor"
    plain = complaint(capsys, "attack", "whole.safetensors")
    assert plain == f"{begin}whole.safetensors: expected {UNNAMED}, got neither"


def test_folders_that_do_not_fit(capsys: Capture, here: Path) -> None:
    folder(here / "small", 2, side=8)
    (here / "empty").mkdir()
    net = "tests.commands.toys:square_only"
    text = complaint(capsys, "attack", net, "--data", "small")
    begin = f"windfirm attack: {net}: expected a network that takes images of shape (1, 3, 8, 8), got an error: "
    assert text.startswith(begin)
    assert complaint(capsys, "attack", net, "--data", "empty") == (
        "windfirm attack: empty: expected class folders with images, got none"
    )
    text = complaint(capsys, "inspect", "empty")
    assert text == f"windfirm inspect: empty: expected {KINDS}, got a folder without model.safetensors"
    before = listing(here)
    text = complaint(capsys, "prune", net, "--data", "small", "--macs", "0.5", "--out", "o")
    assert text.startswith(f"windfirm prune: {net}: expected a network that takes images of shape (1, 3, 8, 8), got ")
    text = complaint(capsys, "train", "vgg16-bn", "--data", "small", "--out", "o")
    assert text.startswith("windfirm train: vgg16-bn: expected a network that takes images of shape (1, 3, 8, 8), got ")
    assert listing(here) == before


def test_networks_with_other_numbers_of_classes_cannot_be_compared(capsys: Capture, here: Path) -> None:
    data = folder(here / "data", 2, side=8)
    text = complaint(capsys, "compare", NET, "resnet56", "--data", data, "--trials", "1", "--out", "new/page.html")
    wanted = "outputs of shape (1, 2) for the classes of data, got (1, 10)"
    assert text == f"windfirm compare: resnet56: expected {wanted}"
    assert not Path("new").exists()


def test_a_target_that_cannot_be_reached(capsys: Capture, here: Path) -> None:
    data = folder(here / "data", 2, side=8)
    before = listing(here)
    words = ("prune", NET, "--data", data, "--criterion", "l1", "--macs", "0.01", "--out", "a/b")
    text = complaint(capsys, *words)
    assert text.startswith("windfirm prune: MACs: expected a target that can be reached, at least ")
    assert listing(here) == before


@pytest.mark.parametrize("out", ["file/below", "file"])
def test_a_place_that_is_not_a_folder(capsys: Capture, here: Path, out: str) -> None:
    data = folder(here / "data", 2, side=8)
    (here / "file").write_text("a file")
    before = listing(here)
    end = "expected a folder that can be written, got Not a directory"
    for words in (
        ["prune", NET, "--data", data, "--criterion", "l1", "--macs", "0.5", "--out", out],
        ["quickstart", "--out", out],
    ):
        assert complaint(capsys, *words) == f"windfirm {words[0]}: {out}: {end}"
    text = complaint(capsys, "compare", NET, NET, "--data", data, "--out", f"{out}/page.html")
    assert text == f"windfirm compare: {out}: {end}"
    assert listing(here) == before


def test_a_path_that_cannot_be_asked_for(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "n" * 300
    for words in (["study", "ls"], ["inspect"], ["report"], ["run"]):
        assert long in (text := complaint(capsys, *words, long))
        assert text.endswith(": expected a path that can be used, got File name too long")

    def closed(path: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "is_file", closed)  # as where a folder on the way may not be entered
    assert complaint(capsys, "study", "ls", "theirs") == (
        "windfirm study: theirs/study.sqlite: expected a path that can be used, got Permission denied"
    )


def test_a_full_disk_leaves_nothing(capsys: Capture, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = folder(here / "data", 2, side=8)
    before = listing(here)

    def full(path: Path, content: str, encoding: str) -> None:
        with path.open("w") as file:
            file.write(content[:9])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_text", full)  # the last file, after the network was written whole
    words = ("prune", NET, "--data", data, "--criterion", "l1", "--macs", "0.5", "--out", "o")
    said = complaint(capsys, *words)
    assert said.startswith("windfirm prune: o/.unfinished-")
    assert said.endswith("/record.json: expected a place that can be written, got: No space left on device")
    assert listing(here) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_stopped_leaves_nothing_and_ends_as_shells_expect(
    capsys: Capture, here: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    data = folder(here / "data", 2, side=8)
    before, handler = listing(here), signal.getsignal(number)

    def stop(*args: object, **options: object) -> None:
        signal.raise_signal(number)

    monkeypatch.setattr("windfirm.commands.adjusting.adjust", stop)
    words = ["prune", NET, "--data", str(data), "--macs", "0.5", "--out", "o", "--criterion", "l1"]
    assert main([*words, "--adjust", "fine-tuning"]) == 128 + number
    assert capsys.readouterr() == ("", "windfirm prune: stopped\n")
    assert listing(here) == before
    assert signal.getsignal(number) is handler


@pytest.mark.parametrize(
    ("number", "code", "text"),
    [
        (errno.EPIPE, 1, ""),
        (
            errno.ENOSPC,
            2,
            "windfirm data: output: expected a place that can be written, got No space left on device\n",
        ),
    ],
)
def test_standard_output_that_cannot_be_written(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, number: int, code: int, text: str
) -> None:
    class Closed(io.StringIO):
        def write(self, words: str) -> int:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(sys, "stdout", Closed())
    assert main(["data", "list", "--json"]) == code
    assert capsys.readouterr().err == text


def test_standard_output_without_our_signs_is_told_them_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, "ascii"))
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    sys.stdout.flush()
    assert rb"s3://\u2026" in written.getvalue()


def test_a_loss_that_is_not_finite_leaves_nothing(capsys: Capture, here: Path) -> None:
    data = folder(here / "data", 4)
    before = listing(here)
    words = ("train", "resnet20", "--data", data, "--epochs", "2", "--batch", "2", "--out", "o", "--lr", "1e9")
    text = complaint(capsys, *words)
    assert text == (
        "windfirm train: epoch 1: expected a finite loss, got nan; a lower learning rate than 1e+09 may help"
    )
    assert listing(here) == before


def test_the_users_module_is_found_where_the_command_is_run(capsys: Capture, here: Path) -> None:
    (here / "a_net_of_mine.py").write_text("from tests.commands.toys import network as make\n")
    assert "a_net_of_mine:make: " in run(capsys, "inspect", "a_net_of_mine:make")


def test_a_file_beside_the_users_module_hides_none_of_pythons_own(
    capsys: Capture, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "sched", raising=False)
    (here / "sched.py").touch()
    (here / "a_net_that_imports.py").write_text("import sched\nsched.scheduler\nfrom tests.commands.toys import *\n")
    assert "a_net_that_imports:network: " in run(capsys, "inspect", "a_net_that_imports:network")


def test_what_the_users_module_prints_is_no_part_of_the_document(capsys: Capture, here: Path) -> None:
    (here / "a_net_that_talks.py").write_text("print('hello')\nfrom tests.commands.toys import network as make\n")
    assert main(["inspect", "a_net_that_talks:make", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["model"] == "a_net_that_talks:make"
    assert err == "hello\n"


def test_output_that_is_closed_costs_no_results(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["data", "list"]) == 0
    assert main(["inspect", "nothing"]) == 2
    sys.stdout.close()
    sys.stderr.close()
