"""What ``--defence`` does in ``windfirm train`` and ``windfirm prune``, and what is written down of it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.commands.toys import NET, checkpoint, folder, network, run_json
from windfirm.adjust import adjustments
from windfirm.adjust.objective import Objective
from windfirm.adjust.train import Epoch, train
from windfirm.models.checkpoint import load, read_notes

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    checkpoint(tmp_path / "F.safetensors")
    return folder(tmp_path / "data", 2, side=16)


def weights(path: str) -> dict[str, Tensor]:
    return load(path, network).state_dict()


def test_a_defended_baseline_says_so_and_is_a_checkpoint_like_any_other(capsys: Capture, data: Path) -> None:
    words = ("train", "resnet20", "--data", data, "--epochs", "1", "--batch", "4", "--out", "firm")
    record = run_json(capsys, *words, "--defence", "fast-at", "--eps", "2/255")
    described = {"name": "fast-at", "eps": 2 / 255, "alpha": 2.5 / 255, "steps": 1}
    assert record["defence"] == described
    assert record["command"].endswith("--weight-decay 0.0005 --defence fast-at --eps 2/255 --seed 0")
    assert json.loads(Path("firm/record.json").read_text()) == record
    fed = {"shape": [3, 16, 16], "mean": None, "std": None}
    notes = {"command": record["command"], "defence": described, "intake": fed}
    assert read_notes(Path("firm/model.safetensors")) == notes
    assert run_json(capsys, "attack", "firm", "--data", data, "--attack", "clean")["images"] == 4


def test_cutout_takes_half_the_side_of_the_images(capsys: Capture, data: Path) -> None:
    words = ("train", "resnet20", "--data", data, "--epochs", "1", "--batch", "4", "--defence", "cutout")
    assert run_json(capsys, *words, "--out", "x")["defence"] == {"name": "cutout", "size": 8, "fill": 0.0}


def test_a_smaller_network_and_its_control_are_adjusted_with_the_same_defence(
    capsys: Capture, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Objective] = []

    def watched(*args: Any, objective: Objective, **options: Any) -> list[Epoch]:
        seen.append(objective)
        return train(*args, objective=objective, **options)

    monkeypatch.setattr(adjustments, "train", watched)
    how = ("--criterion", "l1", "--ratio", "0.4", "--adjust", "fine-tuning", "--epochs", "1", "--control")
    words = ("prune", "F.safetensors", "--factory", NET, "--data", data, *how)
    record = run_json(capsys, *words, "--defence", "pgd-at", "--eps", "4/255", "--out", "small")
    assert record["defence"] == "pgd-at"
    assert [(objective.name, objective.options["eps"]) for objective in seen] == [("pgd-at", 4 / 255)] * 2
    plain = run_json(capsys, *words, "--out", "plain")
    assert plain["defence"] is None
    assert seen[2].name == "plain"
    for name in ("model", "control"):
        firm, bare = weights(f"small/{name}.safetensors"), weights(f"plain/{name}.safetensors")
        assert any(not torch.equal(value, bare[key]) for key, value in firm.items())
