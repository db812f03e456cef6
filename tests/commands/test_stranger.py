"""A user with a network, weights and images of her own: prune, attack, compare."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.commands.stranger import BUILD, build, photographs, weights
from tests.commands.toys import complaint, listing, run_json
from windfirm.cli import main
from windfirm.evaluate.stored import from_json
from windfirm.models.checkpoint import load, read_notes
from windfirm.models.cost import cost

Capture = pytest.CaptureFixture[str]
IMAGES = "tests.commands.stranger:images"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    weights(tmp_path / "w.safetensors")


def test_from_photographs_to_a_smaller_network_and_what_it_stands(capsys: Capture, tmp_path: Path) -> None:
    photos = photographs(tmp_path / "photos")
    words = ["prune", BUILD, "--weights", "w.safetensors", "--data", "photos", "--macs", "0.5", "--out", "small"]
    assert main([*words, "--adjust", "fine-tuning", "--epochs", "1", "--control", "--json"]) == 0
    out, err = capsys.readouterr()
    record = json.loads(out)
    told = "photos/train: 1 of 101 files left out as unreadable: class07/0.jpg (a damaged image)"
    assert told in err.splitlines()
    assert listing(Path("small")) == [
        "MODEL_CARD.md",
        "control.safetensors",
        "model.safetensors",
        "record.json",
        "report.html",
    ]
    assert (record["data"], record["images"], record["skipped"]) == ("photos/train", 100, 1)
    assert record["input"] == [3, 64, 64]
    assert record["normalisation"] == {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.1]}
    assert record["after"]["macs"] <= 0.5 * record["before"]["macs"]
    # The file is the user's own network made smaller: her factory loads it, under her names, without the normalisation.
    smaller = load("small/model.safetensors", build)
    assert vars(cost(smaller, torch.zeros(1, 3, 64, 64))) == record["after"]
    assert load_file("small/model.safetensors").keys() == build().state_dict().keys()

    words = ["attack", BUILD, "small", "--weights", "w.safetensors", "--factory", BUILD, "--data", str(photos)]
    found = run_json(capsys, *words, "--attack", "clean", "--attack", "fgsm", "--images", "60")
    assert {name: found[name] for name in ("data", "images", "input", "skipped")} == {
        "data": "photos/val",
        "images": 60,  # another for the broken file, which is one of the first of the classes
        "input": [3, 64, 64],
        "skipped": 1,
    }
    assert [entry["network"] for entry in found["networks"]] == [BUILD, "small"]
    assert all(entry["normalisation"] == record["normalisation"] for entry in found["networks"])

    words = ["compare", BUILD, "small", "--control", "small/control.safetensors", "--weights", "w.safetensors"]
    words += ["--factory", BUILD, "--data", str(photos), "--trials", "1", "--out", "page.html"]
    compared = from_json(run_json(capsys, *words))
    assert [subject.role for subject in compared.subjects] == ["F", "F'", "control"]
    page = Path("page.html").read_text(encoding="utf-8")
    assert "photos/val, 100 images of 64×64" in page
    assert "1 of 101 files left out as unreadable" in page
    assert "mean 0.5,0.4,0.3, std 0.3,0.2,0.1" in page

    # The exported file takes images in [0, 1]: the normalisation is inside.
    found = run_json(capsys, "export", "small", "--factory", BUILD, "--format", "pt2", "--out", "small.pt2")
    assert found["checked"]["data"] == "random ones, for lack of --data"
    example = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in record["normalisation"].values())
    exported = torch.export.load("small.pt2").module()(example)
    torch.testing.assert_close(exported, smaller((example - mean) / std))


def test_images_from_a_function_and_sizes_by_flags(capsys: Capture) -> None:
    words = ["prune", BUILD, "--weights", "w.safetensors", "--data", IMAGES, "--criterion", "l1", "--ratio", "0.3"]
    record = run_json(capsys, *words, "--mean", "0.5", "--std", "0.25", "--out", "small")
    assert record["data"] is None  # l1 looks at no image, and the network says how large they are
    assert read_notes("small/model.safetensors")["intake"] == {"shape": [3, 64, 64], "mean": [0.5], "std": [0.25]}
    found = run_json(capsys, "attack", "small", "--factory", BUILD, "--data", IMAGES, "--attack", "clean")
    assert (found["data"], found["input"]) == ("mine/test", [3, 64, 64])
    assert found["networks"][0]["normalisation"] == {"mean": [0.5], "std": [0.25]}


def test_a_cut_does_not_depend_on_the_way_the_normalisation_is_given(capsys: Capture) -> None:
    """The scores of pls are those of normalised images, wherever mean and std come from."""
    words = ["prune", BUILD, "--weights", "w.safetensors", "--data", IMAGES, "--ratio", "0.3"]
    own = run_json(capsys, *words, "--out", "own")
    flags = ("--mean", "0.5,0.4,0.3", "--std", "0.3,0.2,0.1")
    assert run_json(capsys, *words, *flags, "--out", "flags") == own
    other = load_file("own/model.safetensors"), load_file("flags/model.safetensors")
    assert all(torch.equal(tensor, other[1][name]) for name, tensor in other[0].items())


def test_what_does_not_fit_is_told_in_one_line(capsys: Capture, tmp_path: Path) -> None:
    photographs(tmp_path / "photos")
    words = ("attack", BUILD, "--weights", "w.safetensors", "--data")
    begin = "windfirm attack: "
    for folder in (tmp_path / "photos").glob("*/class9*"):
        shutil.rmtree(folder)
    for broken in (tmp_path / "photos").glob("*/class07/0.jpg"):
        broken.unlink()
    text = complaint(capsys, *words, "photos", "--images", "9")
    assert text == f"{begin}{BUILD}: expected outputs of shape (1, 90) for the classes of photos/val, got (1, 100)"
    text = complaint(capsys, *words, IMAGES, "--input", "3,32,32")
    assert text == f"{begin}--input: expected 3,64,64, the size of mine/test, got 3,32,32"
    text = complaint(capsys, *words, IMAGES, "--mean", "0.5")
    assert text == f"{begin}normalisation: expected mean and std together, got one of them"
    text = complaint(capsys, "compare", BUILD, f"{BUILD}_for_32", "--weights", "w.safetensors", "--data", "photos")
    wanted = "one size of images for all networks, got none, and networks for 3,64,64 and 3,32,32"
    assert text == f"windfirm compare: --input: expected {wanted}"
    text = complaint(capsys, "attack", "w.safetensors", "--factory", BUILD, "--weights", "w.safetensors")
    assert text == f"{begin}--weights: expected a MODEL that is a name, to put them into, got w.safetensors"
    text = complaint(capsys, "attack", BUILD, "--weights", "no.pt")
    assert text == f"{begin}no.pt: expected a file of weights, got no such file"
