"""``windfirm train-stylizer``, and the defences that use what it wrote."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.commands.toys import complaint, folder, listing, run, run_json
from windfirm.adjust.resume import weights_digest
from windfirm.defend.stylizer import load_stylizer
from windfirm.errors import InputError

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return folder(tmp_path / "data", 8, side=16)


def test_it_writes_weights_a_record_and_a_sheet_that_a_defence_then_uses(capsys: Capture, data: Path) -> None:
    record = run_json(capsys, "train-stylizer", "--data", data, "--epochs", "1", "--seed", "3", "--out", "style")
    assert listing(Path("style")) == ["record.json", "sheet.png", "stylizer.safetensors"]
    assert json.loads(Path("style/record.json").read_text()) == record
    assert record["command"] == "windfirm train-stylizer --data data --epochs 1 --seed 3"
    assert (record["data"]["images"], len(record["epochs"])) == (16, 2)
    load_stylizer("style/stylizer.safetensors")
    assert np.asarray(Image.open("style/sheet.png")).shape == (7 * 6 * 18, 10 * 6 * 18, 3)

    how = ("--defence", "stylized", "--stylizer", "style/stylizer.safetensors")
    trained = run_json(capsys, "train", "resnet20", "--data", data, "--epochs", "1", "--batch", "8", *how, "--out", "F")
    made = weights_digest(load_stylizer("style/stylizer.safetensors"))
    file = "style/stylizer.safetensors"
    assert trained["defence"] == {"name": "stylized", "alpha": 1.0, "stylizer": file, "weights": made}
    assert "--defence stylized --stylizer stylizer.safetensors --seed 0" in trained["command"]
    assert "look at style/sheet.png" in run(capsys, "train-stylizer", "--data", data, "--epochs", "1", "--out", "style")


def test_the_sheet_is_full_however_few_images_there_are(capsys: Capture, tmp_path: Path) -> None:
    data = folder(tmp_path / "few", 2, side=16)
    run(capsys, "train-stylizer", "--data", data, "--epochs", "1", "--out", "style")
    pixels = np.asarray(Image.open("style/sheet.png"))
    assert pixels.shape == (7 * 6 * 18, 10 * 6 * 18, 3)
    assert (pixels[-60:-40, -60:-40] < 255).any()  # a drawn image stands in the last place


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--stylizer", "x"), "--stylizer: expected a --defence that it is for, got none"),
        (("--stylizer", "x", "--defence", "mixup"), "mixup: expected no options, got stylizer"),
    ],
)
def test_a_stylizer_without_a_use_is_refused(capsys: Capture, options: tuple[str, ...], message: str) -> None:
    assert complaint(capsys, "train", "resnet20", *options) == f"windfirm train: {message}"


def test_nothing_is_left_of_a_training_that_cannot_begin(capsys: Capture, data: Path) -> None:
    said = complaint(capsys, "train-stylizer", "--data", data, "--vgg", "none.pth", "--out", "style")
    assert said == "windfirm train-stylizer: none.pth: expected a file of weights, got no such file"
    assert not Path("style").exists()


def test_grey_images_are_refused_before_anything_is_trained(capsys: Capture, data: Path) -> None:
    said = complaint(capsys, "train-stylizer", "--data", data, "--input", "1,16,16", "--out", "style")
    assert said == "windfirm train-stylizer: stylizer: expected RGB images, got images of 1 channel"
    with pytest.raises(InputError, match="stylizer: expected RGB images, got images of 1 channel"):
        load_stylizer(None).within(torch.rand(4, 1, 16, 16), torch.arange(4))
