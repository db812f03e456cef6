import sys
from pathlib import Path

import pytest
import torch

from tests.commands.toys import NET, checkpoint, complaint, folder, listing, network, run, run_json
from windfirm.models import export as module
from windfirm.models.checkpoint import load, save
from windfirm.models.cost import cost
from windfirm.prune.schedule import prune

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in a folder of its own that holds the tiny network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    checkpoint(tmp_path / "F.safetensors")
    return tmp_path


def test_a_checkpoint_becomes_a_file_that_was_checked_on_real_images_and_its_cost_is_told(capsys: Capture) -> None:
    folder(Path("data"), side=8)
    words = ("export", "F.safetensors", "--factory", NET, "--format", "pt2", "--data", "data", "--images", 3)
    found = run_json(capsys, *words, "--out", "new/F.pt2")
    assert listing(Path("new")) == ["F.pt2"]
    assert (found["model"], found["file"], found["format"]) == ("F", "new/F.pt2", "pt2")
    assert found["bytes"] == Path("new/F.pt2").stat().st_size
    assert (found["checked"]["images"], found["checked"]["data"]) == (3, "data")
    assert found["checked"]["difference"] <= 1e-5
    assert {name: found[name] for name in ("macs", "params", "param_bytes", "peak_bytes")} == vars(
        cost(network(), torch.zeros(1, 3, 8, 8))
    )
    assert set(found["seconds_per_image"]) == {"1", "64"}
    assert (found["input"], found["before_the_cuts"]) == ([3, 8, 8], None)
    images = torch.rand(5, 3, 8, 8)
    with torch.no_grad():
        wanted = load("F.safetensors", network)(images)
        torch.testing.assert_close(torch.export.load("new/F.pt2").module()(images), wanted)


def test_a_pruned_network_is_told_beside_what_it_was(capsys: Capture) -> None:
    smaller = prune(network(), torch.zeros(1, 3, 8, 8), ratio=0.5)
    save(smaller, "small.safetensors")
    words = ("export", "small.safetensors", "--factory", NET, "--format", "pt2", "--input", "3,8,8", "--images", 2)
    found = run_json(capsys, *words, "--out", "small.pt2")
    example = torch.zeros(1, 3, 8, 8)
    for told, model in ((found, smaller), (found["before_the_cuts"], network())):
        assert {name: told[name] for name in ("macs", "params", "param_bytes", "peak_bytes")} == vars(
            cost(model, example)
        )
        assert set(told["seconds_per_image"]) == {"1", "64"}
    assert run(capsys, *words, "--out", "small.pt2").splitlines()[-1].startswith("before its cuts: ")


def test_networks_for_small_images_are_checked_on_embedded_ones_and_others_on_random_ones(capsys: Capture) -> None:
    words = ("export", NET, "--format", "pt2", "--images", 2, "--out", "F.pt2")
    first, second, third = run(capsys, *words).splitlines()
    assert first.startswith("F.pt2: pt2, 0.0")
    assert first.endswith(" of the network's on 2 images (embedded/test)")
    assert second.startswith(f"{NET}: ")
    assert third.endswith(" in a batch of 64 (cpu)")
    assert (
        run(capsys, *words, "--input", "3,8,8").splitlines()[0].endswith("2 images (random ones, for lack of --data)")
    )


def test_what_cannot_be_exported_leaves_nothing(capsys: Capture, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("export", NET, "--images", 2, "--out", "new/F", "--format")
    before = listing(here)
    assert complaint(capsys, *words, "tflite") == "windfirm export: --format: expected onnx or pt2, got tflite"
    monkeypatch.setattr(module, "_difference", lambda wanted, got: 2e-4)
    wanted = "expected the network's logits within 0.0001, got a file that differs by 0.0002"
    assert complaint(capsys, *words, "pt2") == f"windfirm export: Sequential: {wanted}"
    assert listing(here) == before
    text = complaint(capsys, "export", NET, "--format", "pt2", "--out", here)
    assert text == f"windfirm export: --out: expected the name of a file to write, got {here}, a folder"
    Path("new").write_text("a file")
    text = complaint(capsys, *words, "pt2")
    assert text.startswith("windfirm export: new: expected a folder that can be written, got ")


def narrow() -> torch.nn.Module:
    """The tiny network in half precision."""
    return network().bfloat16()


def test_a_network_in_another_precision_is_timed_on_images_of_its_own(capsys: Capture) -> None:
    words = ("export", "tests.commands.test_export:narrow", "--format", "pt2", "--input", "3,8,8", "--images", 2)
    assert run_json(capsys, *words, "--out", "F.pt2")["seconds_per_image"]["64"] > 0
