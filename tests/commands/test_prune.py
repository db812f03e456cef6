"""What ``windfirm prune`` writes and says of filters, layers and both, and of a criterion of the user's own."""

import contextlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.commands.toys import complaint, folder, run, run_json
from windfirm.cli import main
from windfirm.commands.declare.groups import CRITERIA as TOLD
from windfirm.models.checkpoint import load
from windfirm.models.cost import cost
from windfirm.models.registry import build
from windfirm.models.resnet import BasicBlock
from windfirm.prune import schedule
from windfirm.prune.criteria import CRITERIA, criterion
from windfirm.prune.criteria.base import Half, Observer, Scores, Subject
from windfirm.prune.structure import Structure

Capture = pytest.CaptureFixture[str]
HERE = "tests.commands.test_prune"


def residual() -> nn.Module:
    """A convolution of 6 filters and three blocks that keep the width."""
    stem = nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU()
    return nn.Sequential(
        *stem, *(BasicBlock(6, 6, 1) for _ in range(3)), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 2)
    )


@criterion("last-first", data=True)
def last_first(subject: Subject, structures: Sequence[Structure], seed: int) -> Observer:
    """The last units and blocks leave first, by either half of the images; the second block has no score."""

    def scores(half: Half) -> Scores:
        return {
            s: -torch.arange(float(s.size)) - 1.5 * int(s.name[0])
            for s in structures
            if (s.name, s.kind) != ("3", "block")
        }

    return Observer(scores)


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return folder(tmp_path / "data", 2, side=16)


def words(data: Path, *more: str) -> list[str]:
    return ["prune", f"{HERE}:residual", "--data", str(data), "--out", "out", *more]


def test_a_users_criterion_prunes_filters_and_layers_in_turn_and_all_of_it_is_written_down(
    capsys: Capture, data: Path
) -> None:
    how = ("--structure", "both", "--rate", "0.3", "--rounds", "2", "--criterion", f"{HERE}:last_first")
    record = run_json(capsys, *words(data, *how, "--protect", "0", "--protect", "2"))
    assert (record["structure"], record["choose"], record["criterion"]) == ("both", "alternate", f"{HERE}:last_first")
    assert record["target"] == {
        "rate": 0.3, "ranking": "global", "floor": 0.1, "protect": ["0", "2"], "plain": False
    }  # fmt: skip
    filters, layers = record["rounds"]
    # round(0.3 * 18) filters leave, the last of the last block first: -11, -10, -9.5, -9, -8.5.
    assert (filters["number"], filters["kind"], sum(filters["removed"].values())) == (1, "filters", 5)
    assert filters["removed"] == {"4.conv1": 3, "3.conv1": 2}
    assert filters["sizes"] == {"3.conv1": 6, "4.conv1": 6}
    assert (filters["blocks"], filters["stability"]) == ([], {"agree": 5, "of": 5})
    assert (layers["kind"], layers["removed"], layers["blocks"], layers["unscored"]) == ("layers", {}, ["4"], ["3"])
    assert [layers["choose"], layers["distances"], layers["stopped"], layers["refused"]] == ["alternate", {}, {}, {}]
    assert record["profile"] == [
        {"layer": name, "kind": kind, "before": before, "after": after}
        for name, kind, before, after in [
            ("0", "conv", 6, 6),
            ("2.conv1", "conv", 6, 6),
            ("2.conv2", "conv", 6, 6),
            ("3.conv1", "conv", 6, 4),
            ("3.conv2", "conv", 6, 6),
            ("4.conv1", "conv", 6, 0),
            ("4.conv2", "conv", 6, 0),
            ("7", "linear", 2, 2),
        ]
    ]
    assert record == json.loads(Path("out/record.json").read_text())
    assert "4.conv1" in Path("out/report.html").read_text(encoding="utf-8")
    assert vars(cost(load("out/model.safetensors", residual), torch.zeros(1, 3, 16, 16))) == record["after"]


def test_what_left_from_where_is_told_round_by_round(capsys: Capture, data: Path) -> None:
    how = ("--structure", "both", "--rate", "0.3", "--rounds", "2", "--criterion", f"{HERE}:last_first")
    lines = run(capsys, *words(data, *how, "--protect", "0", "--protect", "2")).splitlines()
    assert lines[0].startswith("round 1: 5 of 18 filters, ")
    assert lines[0].endswith(" M MACs, proved")
    assert lines[1:4] == [
        "  filters by alternate",
        "  3.conv1 2 of 6, 4.conv1 3 of 6",
        "  two halves of the images agree on 5 of 5",
    ]
    assert lines[4].startswith("round 2: 1 of 2 blocks, ")
    assert lines[5:9] == [
        "  layers by alternate",
        "  4",
        "  two halves of the images agree on 1 of 1",
        "  1 block stays whole, last-first has no score: 3",
    ]
    assert lines[9] == "asked for: 30.0% of the filters or blocks still there gone in each round"


def test_a_rule_that_compares_looks_at_the_images_for_a_criterion_that_does_not(capsys: Capture, data: Path) -> None:
    how = ("--structure", "both", "--params", "0.7", "--criterion", "l1")
    compared = run_json(capsys, *words(data, *how, "--choose", "cka"))
    assert (compared["data"], compared["images"]) == ("data", 4)
    (entry,) = compared["rounds"]
    assert set(entry["distances"]) == {"filters", "layers"}
    assert entry["distances"][entry["kind"]] == min(entry["distances"].values())
    assert compared["after"]["params"] <= 0.7 * compared["before"]["params"]
    tossed = run_json(capsys, *words(data, *how, "--choose", "coin"))
    assert (tossed["data"], tossed["rounds"][0]["distances"]) == (None, {})


def test_a_share_of_the_time_is_said_to_be_measured(
    capsys: Capture, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that runs with the parameters."""
    clock = lambda example: lambda models: [sum(p.numel() for p in model.parameters()) for model in models]  # noqa: E731
    monkeypatch.setattr(schedule, "by_turns", clock)
    how = ("--structure", "layers", "--latency", "0.7", "--criterion", "l1")
    lines = run(capsys, *words(data, *how)).splitlines()
    record = json.loads(Path("out/record.json").read_text())
    share = record["after"]["params"] / record["before"]["params"]
    assert record["rounds"][0]["latency"] == pytest.approx(share)
    assert lines[0].startswith("round 1: 1 of 3 blocks, ")
    assert f" M MACs, {share:.1%} of the first network's time (measured), proved" in lines[0]
    assert "asked for: 70.0% of the time left" in lines


def test_the_card_of_a_state_dict_says_again_what_made_it(capsys: Capture) -> None:
    torch.save(build("resnet20").state_dict(), "weights.pth")
    run(capsys, "prune", "weights.pth", "--factory", "resnet20", "--criterion", "l1", "--rate", "0.1", "--out", "out")
    assert "windfirm compare weights.pth out --factory resnet20 --data" in Path("out/MODEL_CARD.md").read_text("utf-8")


def test_the_card_says_how_to_load_the_network_and_a_command_that_measures_it(capsys: Capture, data: Path) -> None:
    run(capsys, *words(data, "--ratio", "0.2", "--criterion", "l1", "--mean", "0.5", "--std", "0.25"))
    card = Path("out/MODEL_CARD.md").read_text(encoding="utf-8")
    line = next(line for line in card.splitlines() if line.startswith("windfirm compare"))
    assert line == (
        f"windfirm compare {HERE}:residual out --factory {HERE}:residual --mean 0.5 --std 0.25 --data {data} "
        "--out out/comparison.html"
    )
    found = run_json(capsys, *line.split()[1:], "--attack", "clean", "--checks", "0")
    assert [subject["role"] for subject in found["subjects"]] == ["F", "F'"]
    (python,) = [part.removeprefix("python\n") for part in card.split("```") if part.startswith("python\n")]
    names: dict[str, nn.Module] = {}
    with contextlib.chdir("out"):
        exec(python, names)
    record = json.loads(Path("out/record.json").read_text())
    assert sum(p.numel() for p in names["network"].parameters()) == record["after"]["params"]


def test_the_size_of_the_images_stays_with_a_network_whose_criterion_needs_none(capsys: Capture, data: Path) -> None:
    record = run_json(capsys, *words(data, "--ratio", "0.2", "--criterion", "l1"))
    found = run_json(capsys, "inspect", "out", "--factory", f"{HERE}:residual")
    assert (found["input"], found["macs"]) == ([3, 16, 16], record["after"]["macs"])


def test_images_of_several_sizes_are_no_size_to_prune_for(capsys: Capture, data: Path) -> None:
    shutil.copytree(folder(data.parent / "small", 1, side=8), data, dirs_exist_ok=True)  # over the first of each class
    said = complaint(capsys, *words(data, "--ratio", "0.2", "--criterion", "l1"))
    assert "or a size to bring all to (--input C,H,W, in a study network.input), got" in said


def test_the_help_names_every_criterion() -> None:
    assert [name for name in TOLD.split(", ") if ":" not in name] == sorted(CRITERIA)


def test_another_pruning_that_was_there_is_told(capsys: Capture, data: Path) -> None:
    how = ("--criterion", "l1", "--rate", "0.3")
    tuned = (*how, "--adjust", "bn-only", "--control")
    for more, said in (
        (tuned, ""),
        (tuned, ""),
        (how, "out: another pruning was there, whose control.safetensors is gone; what was made of it, such as c"),
        (("--criterion", "l2", "--rate", "0.3"), "out: another pruning was there; what was made of it, such as c"),
    ):
        assert main(words(data, *more)) == 0
        told = [line for line in capsys.readouterr().err.splitlines() if "another pruning" in line]
        assert [line.startswith(said) for line in told] == [True] * bool(said)
