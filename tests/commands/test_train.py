"""What ``windfirm train`` does beside its recipe, and that it never opens the test images."""

import functools
import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.commands.toys import complaint, folder, listing, network, run, run_json
from windfirm.cli import main
from windfirm.commands.training_record import command
from windfirm.models.checkpoint import load, read_manifest

Capture = pytest.CaptureFixture[str]
DATA = "tests.commands.test_train:training_images_only"
WORDS = ("train", "resnet20", "--data", DATA, "--epochs", "1", "--batch", "4")


HERE = "tests.commands.test_train"
NET3, SIZED, UNHELD = (f"{HERE}:{name}" for name in ("three", "sized", "unheld"))


def three() -> nn.Module:
    """For three classes."""
    return network(3)


def sized() -> nn.Module:
    """For two classes, and says of what size its images are."""
    made = network(2)
    made.pretrained_cfg = {"input_size": (3, 10, 10)}  # type: ignore[assignment]
    return made


def unheld() -> nn.Module:
    """With a tensor that no file holds."""
    made = network(3)
    made.register_buffer("spectrum", torch.zeros(2, dtype=torch.complex128))
    return made


def pair() -> nn.Module:
    return network(2)


@functools.cache
def cached() -> nn.Module:
    return network(3)


def logging() -> nn.Module:
    """Holds what cannot be copied."""
    made = network(3)
    made.log = sys.stdout  # type: ignore[assignment]
    return made


def halved() -> nn.Module:
    """Holds a tensor that was computed, which Python's deepcopy does not take."""
    made = network(3)
    made.half = made[0].weight / 2  # type: ignore[method-assign, index]
    return made


def first_weight(path: Path) -> Tensor:
    return next(load(path, three).parameters())


def training_images_only(split: str) -> tuple[Tensor, Tensor]:
    if split != "train":
        raise AssertionError("the test images were opened")
    images = torch.randint(0, 256, (12, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return images, torch.arange(12) % 3


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def same(one: str, other: str) -> bool:
    a, b = load(one).state_dict(), load(other).state_dict()
    return all(torch.equal(value, b[name]) for name, value in a.items())


def test_an_epoch_is_chosen_on_held_out_training_images_and_no_test_image_is_opened(capsys: Capture) -> None:
    words = (*WORDS, "--probe", "4", "--keep", "fgsm", "--ema", "0.9", "--out", "run")
    record = run_json(capsys, *words)
    assert record["command"].endswith("--weight-decay 0.0005 --probe 4 --ema 0.9 --keep fgsm --seed 0")
    extras = {"probe": 4, "keep": "fgsm", "ema": 0.9, "compile": None, "eps": 8 / 255}
    assert record["extras"] == extras
    (epoch,) = record["epochs"]
    assert 0 <= epoch["fgsm"] <= epoch["clean"] <= 4
    assert json.loads(Path("run/record.json").read_text()) == record
    assert listing(Path("run")) == ["initial.safetensors", "model.safetensors", "record.json"]
    assert "the test images were opened" in complaint(capsys, "attack", "run", "--data", DATA)  # as nothing did before
    lines = run(capsys, *words).splitlines()
    assert lines[1] == (
        f"epoch 1 is kept: of 4 held-out images {epoch['clean']} right, {epoch['fgsm']} under FGSM at 8/255"
    )


def test_files_that_cannot_be_read_are_named(capsys: Capture) -> None:
    folder(Path("photos"), 2, side=8)
    Path("photos/dark/0.png").write_text("no image")
    assert main(["train", "resnet20", "--data", "photos", "--epochs", "1", "--batch", "3"]) == 0
    assert "photos: 1 of 4 files left out as unreadable: dark/0.png (not an image)\n" in capsys.readouterr().err


def test_photos_of_many_sizes_are_brought_to_one_as_are_those_to_test_on(capsys: Capture) -> None:
    folder(Path("photos"), 2, side=8)
    Image.new("RGB", (9, 20)).save("photos/dark/0.png")
    words = ("train", "resnet20", "--data", "photos", "--epochs", "1", "--batch", "4", "--out", "run")
    assert "or a size to bring all to (--input C,H,W, in a study network.input)" in complaint(capsys, *words)
    record = run_json(capsys, *words, "--input", "3,8,8", "--resize", "pad")
    assert record["command"].startswith("windfirm train resnet20 --data photos --input 3,8,8 --resize pad --epochs 1")
    test = (
        run(capsys, *words, "--input", "3,8,8", "--resize", "pad").splitlines()[-1].removeprefix("test it:  windfirm ")
    )
    assert test == "attack run/model.safetensors --data photos --resize pad --attack clean"
    assert run_json(capsys, *test.split())["input"] == [3, 8, 8]


def test_images_that_are_no_files_are_of_their_own_size(capsys: Capture) -> None:
    said = complaint(capsys, *WORDS, "--input", "3,9,9")
    assert said == f"windfirm train: --input: expected 3,8,8, the size of {DATA}/train, got 3,9,9"


def test_each_seed_has_its_folder_with_what_it_would_be_alone(capsys: Capture) -> None:
    found = run_json(capsys, *WORDS, "--seeds", "3,5", "--out", "both")
    alone = run_json(capsys, *WORDS, "--seed", "5", "--out", "alone")
    names = ["initial.safetensors", "model.safetensors", "record.json"]
    folders = ["seed-3", "seed-5"]
    assert listing(Path("both")) == sorted([*folders, *(f"{folder}/{name}" for folder in folders for name in names)])
    assert [record["seed"] for record in found["runs"]] == [3, 5]
    assert found["runs"][1]["command"] == alone["command"]
    assert "extras" not in alone
    assert [entry["loss"] for entry in found["runs"][1]["epochs"]] == [entry["loss"] for entry in alone["epochs"]]
    for name in names[:2]:
        assert same(f"both/seed-5/{name}", f"alone/{name}")
        assert not same(f"both/seed-3/{name}", f"alone/{name}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--seeds 0,1 --seed 2", "--seed: expected either it or --seeds, got both"),
        ("--seeds 1,1", "--seeds: expected whole numbers that all differ, such as 0,1,2, got 1,1"),
        ("--keep clean", "keep clean: expected held-out images to choose by, a probe of some, got 0"),
        ("--probe -1", "--probe: expected a whole number of at least 0, got -1"),
    ],
)
def test_extras_that_make_no_sense_are_refused(capsys: Capture, words: str, message: str) -> None:
    told = complaint(capsys, *WORDS, *words.split())
    assert told.removesuffix("; see windfirm train --help") == f"windfirm train: {message}"


def test_a_folder_named_as_the_architecture_is_not_taken_for_the_weights_in_the_package() -> None:
    args = Namespace(
        arch="resnet20",
        data="d",
        epochs=1,
        lr=0.1,
        batch=8,
        schedule="step",
        weight_decay=0,
        keep="last",
        input=None,
        resize="crop",
        mean=None,
        std=None,
    )
    for name in ("defence", "eps", "stylizer", "probe", "ema", "compile"):
        setattr(args, name, None)
    for start, said in (("runs/resnet20", "./resnet20"), ("resnet20", "resnet20"), ("runs/first", "first")):
        args.start = start
        assert f"windfirm train resnet20 --from {said} --data d " in command(args, 0)
    args.data = args.start = args.stylizer = "two words"  # as a shell is to be told them
    assert "--from 'two words' --data 'two words' " in command(args, 0)
    assert "--stylizer 'two words' " in command(args, 0)


def test_a_network_remembers_the_size_of_the_images_that_it_was_trained_on() -> None:
    assert main([*WORDS, "--out", "run"]) == 0
    for name in ("initial", "model"):
        assert read_manifest(f"run/{name}.safetensors").notes["intake"] == {
            "shape": [3, 8, 8],
            "mean": None,
            "std": None,
        }


def test_a_network_of_ones_own_is_trained_goes_on_and_can_be_cut_to_a_ticket(capsys: Capture) -> None:
    """With a normalisation, which the files remember and the names in them lack."""
    words = ("train", NET3, "--data", DATA, "--epochs", "1", "--batch", "4", "--mean", "0.5", "--std", "0.25")
    record = run_json(capsys, *words)
    assert record["command"].startswith(f"windfirm train {NET3} --data {DATA} --mean 0.5 --std 0.25 --epochs 1 ")
    out = Path("runs") / NET3.replace(":", "-")
    assert listing(out) == ["initial.safetensors", "model.safetensors", "record.json"]
    for name in ("initial", "model"):
        notes = read_manifest(out / f"{name}.safetensors").notes
        assert notes["intake"] == {"shape": [3, 8, 8], "mean": [0.5], "std": [0.25]}
        assert notes["factory"] == NET3
    assert not torch.equal(first_weight(out / "initial.safetensors"), first_weight(out / "model.safetensors"))
    test = run(capsys, *words).splitlines()[-1].removeprefix("test it:  windfirm ")
    assert test == f"attack {out}/model.safetensors --factory {NET3} --data {DATA} --attack clean"
    more = run_json(capsys, *words, "--from", out, "--out", "more")
    assert more["before"]["command"] == record["command"]
    assert torch.equal(first_weight(Path("more/initial.safetensors")), first_weight(out / "initial.safetensors"))
    cut = ("--factory", NET3, "--data", DATA, "--criterion", "l1", "--macs", "0.6")
    ticket = run_json(capsys, "prune", out, *cut, "--adjust", "w-ticket", "--epochs", "1", "--out", "ticket")
    assert ticket["adjustment"]["initial"] == "initial.safetensors"
    assert ticket["normalisation"] == {"mean": [0.5], "std": [0.25]}


def test_each_seed_of_a_function_begins_with_weights_of_its_own(capsys: Capture) -> None:
    run(capsys, "train", NET3, "--data", DATA, "--epochs", "1", "--batch", "4", "--seeds", "0,1", "--out", "both")
    first, second = (first_weight(Path(f"both/seed-{seed}/initial.safetensors")) for seed in (0, 1))
    assert not torch.equal(first, second)


def test_the_images_of_a_folder_get_the_size_that_a_network_of_ones_own_is_made_for(capsys: Capture) -> None:
    folder(Path("photos"), 2, side=12)
    run(capsys, "train", SIZED, "--data", "photos", "--epochs", "1", "--batch", "4", "--out", "run")
    assert read_manifest("run/model.safetensors").notes["intake"] == {"shape": [3, 10, 10], "mean": None, "std": None}


def test_a_training_that_goes_on_has_images_of_the_size_that_it_was_trained_on(capsys: Capture) -> None:
    folder(Path("photos"), 2, side=12)
    words = ("train", f"{HERE}:pair", "--data", "photos", "--epochs", "1", "--batch", "4")
    run(capsys, *words, "--input", "3,9,9", "--out", "run")
    run(capsys, *words, "--from", "run", "--out", "more")
    assert read_manifest("more/model.safetensors").notes["intake"] == {"shape": [3, 9, 9], "mean": None, "std": None}


def test_a_function_that_gives_one_network_to_all_seeds_is_refused(capsys: Capture) -> None:
    said = complaint(capsys, "train", f"{HERE}:cached", "--data", DATA, "--epochs", "1", "--seeds", "0,1")
    assert (
        said == f"windfirm train: {HERE}:cached: expected a new network each time that it is called, got the same again"
    )


def test_a_network_is_copied_where_that_can_be_and_else_told_in_one_line(capsys: Capture) -> None:
    said = complaint(capsys, "train", f"{HERE}:logging", "--data", DATA, "--epochs", "1")
    assert "expected a network that can be copied, got " in said
    run(capsys, "train", f"{HERE}:halved", "--data", DATA, "--epochs", "1", "--batch", "4")


def test_a_folder_goes_by_its_name_also_from_inside(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    run(capsys, *WORDS, "--out", "first")
    monkeypatch.chdir("first")
    record = run_json(capsys, *WORDS, "--from", ".", "--out", "more")
    assert record["command"].startswith(f"windfirm train resnet20 --from first --data {DATA} ")


def test_what_is_no_folder_of_a_training_is_told_as_what_it_is(capsys: Capture) -> None:
    run(capsys, *WORDS, "--out", "first")
    begin = "windfirm train: --from {}: expected a folder that `windfirm train` wrote, got {}"
    file = "first/model.safetensors"
    assert complaint(capsys, *WORDS, "--from", file, "--out", "x") == begin.format(file, "a file")
    assert complaint(capsys, *WORDS, "--from", "none", "--out", "x") == begin.format(
        "none", "no initial.safetensors there"
    )


def test_what_does_not_fit_is_told_before_it_is_trained(capsys: Capture) -> None:
    said = complaint(capsys, "train", SIZED, "--data", DATA, "--epochs", "1", "--batch", "4")
    assert said.startswith(f"windfirm train: {SIZED}: expected outputs of shape (1, 3) for the classes of ")
    wanted = "spectrum: expected a dense tensor of a type that safetensors holds, got torch.complex128"
    assert complaint(capsys, "train", UNHELD, "--data", DATA) == f"windfirm train: checkpoint: {wanted}"
    said = complaint(capsys, "prune", UNHELD, "--data", DATA, "--macs", "0.5", "--out", "out")
    assert said == f"windfirm prune: {UNHELD}: {wanted}"
    assert listing(Path()) == []


def test_a_training_that_goes_on_has_a_folder_of_its_own(capsys: Capture) -> None:
    run(capsys, *WORDS)
    before = Path("runs/resnet20/model.safetensors").read_bytes()
    said = complaint(capsys, *WORDS, "--from", "runs/resnet20")
    wanted = "--out: expected another place than the network's own file, got runs/resnet20/model.safetensors"
    assert said == f"windfirm train: {wanted}"
    assert Path("runs/resnet20/model.safetensors").read_bytes() == before


def test_a_training_that_is_finished_is_told_again_and_not_repeated(capsys: Capture) -> None:
    record, words = run_json(capsys, *WORDS), run(capsys, *WORDS)
    before = Path("runs/resnet20/model.safetensors").stat().st_mtime_ns
    assert run_json(capsys, *WORDS) == record
    assert words.startswith(f"runs/resnet20/model.safetensors: resnet20, 1 epoch in {record['seconds']} s, loss ")
    assert Path("runs/resnet20/model.safetensors").stat().st_mtime_ns == before


def test_a_finished_training_is_not_replaced_by_another(capsys: Capture) -> None:
    record = run_json(capsys, *WORDS)
    wanted = "this training or none, got another that is finished; take another --out, or remove the folder"
    for other in ("--seed 1", "--lr 0.2", "--data embedded", "--probe 4"):
        assert complaint(capsys, *WORDS, *other.split()) == f"windfirm train: runs/resnet20: expected {wanted}"
    Path("runs/resnet20/record.json").write_text("{")
    assert complaint(capsys, *WORDS) == f"windfirm train: runs/resnet20: expected {wanted}"
    Path("runs/resnet20/model.safetensors").unlink()
    assert run_json(capsys, *WORDS)["command"] == record["command"]  # as there is nothing to lose


def test_of_several_seeds_those_that_are_not_finished_are_trained(capsys: Capture) -> None:
    first = run_json(capsys, *WORDS, "--seeds", "3,5")["runs"]
    more = run_json(capsys, *WORDS, "--seeds", "5,4,3")["runs"]
    assert [record["seed"] for record in more] == [5, 4, 3]
    assert [more[2], more[0]] == first
