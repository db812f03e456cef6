"""What a command can see to be a mistake of the person who typed it."""

import os
import sys
from pathlib import Path

import pytest

from tests.commands.toys import NET, checkpoint, complaint, folder, listing, run, run_json
from windfirm.cli import main
from windfirm.commands.folder import results

Capture = pytest.CaptureFixture[str]

PRUNE = ("prune", "F.safetensors", "--factory", NET, "--data", "data", "--criterion", "l1", "--ratio", "0.4")
COMPARE = ("--factory", NET, "--data", "data", "--attack", "clean", "--checks", "0")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    checkpoint(tmp_path / "F.safetensors")
    folder(tmp_path / "data")
    return tmp_path


def test_networks_that_are_fed_differently_are_not_compared_without_a_word(capsys: Capture) -> None:
    fed = ("--mean", "0.5,0.4,0.3", "--std", "0.2,0.2,0.2")
    run(capsys, "prune", NET, *PRUNE[4:], *fed, "--out", "small")
    warning = (
        "Warning, normalisation: F gets its images as they are (F′: mean 0.5,0.4,0.3, std 0.2,0.2,0.2); --mean and "
        "--std say otherwise."
    )
    assert run(capsys, "compare", NET, "small", *COMPARE, "--out", "page.html").splitlines()[0] == warning
    page = Path("page.html").read_text(encoding="utf-8")
    assert "F gets its images as they are" in page
    assert "F: none of its own; F&#39;: mean 0.5,0.4,0.3" in page
    found = run_json(capsys, "compare", NET, "small", *COMPARE)["cautions"]
    assert found == [warning, "Warning, F: weights as the function makes them; --weights puts others in."]
    assert run_json(capsys, "compare", NET, "small", *COMPARE, *fed)["cautions"] == found[1:]
    assert run_json(capsys, "compare", "F.safetensors", "F.safetensors", *COMPARE)["cautions"] == []


def test_the_control_of_an_earlier_run_does_not_stay_beside_another_network(capsys: Capture) -> None:
    run(capsys, *PRUNE, "--adjust", "fine-tuning", "--epochs", "1", "--control", "--out", "out")
    assert Path("out/control.safetensors").is_file()
    run(capsys, *PRUNE, "--out", "out")
    assert listing(Path("out")) == ["MODEL_CARD.md", "model.safetensors", "record.json", "report.html"]


def test_a_network_is_not_written_over_by_what_is_made_of_it(capsys: Capture) -> None:
    run(capsys, *PRUNE, "--out", "out")
    before = Path("out/model.safetensors").read_bytes()
    wanted = "--out: expected another place than the network's own file, got out/model.safetensors"
    for words in (
        ("prune", "out", *PRUNE[2:], "--out", "out"),
        ("prune", "out/model.safetensors", *PRUNE[2:], "--out", "./out"),
        ("export", "out", "--factory", NET, "--format", "pt2", "--out", "out/model.safetensors"),
    ):
        assert complaint(capsys, *words) == f"windfirm {words[0]}: {wanted}"
        assert Path("out/model.safetensors").read_bytes() == before


def test_a_page_that_would_take_the_place_of_a_folder_is_refused_before_anything_is_read(capsys: Capture) -> None:
    Path("dir.html").mkdir()
    said = complaint(capsys, "compare", "none", "none", "--out", "dir.html")
    assert said == "windfirm compare: --out: expected the name of a file to write, got dir.html, a folder"


def test_networks_of_one_name_go_by_the_paths_that_were_given(capsys: Capture) -> None:
    for path in ("a/half", "b/half"):
        checkpoint(Path(path, "model.safetensors"))
    words = ("--factory", NET, "--data", "data", "--attack", "clean")
    for specs, names in (
        ("a/half b/half", ["a/half", "b/half"]),
        ("a/half a/half F.safetensors", ["half", "half", "F"]),
    ):
        found = run_json(capsys, "attack", *specs.split(), *words)["networks"]
        assert [network["network"] for network in found] == names


def test_a_control_that_is_pruned_in_turn_stays_where_it_is(capsys: Capture) -> None:
    run(capsys, *PRUNE, "--adjust", "fine-tuning", "--epochs", "1", "--control", "--out", "out")
    said = complaint(capsys, "prune", "out/control.safetensors", *PRUNE[2:], "--out", "out")
    assert said.endswith("--out: expected another place than the network's own file, got out/control.safetensors")
    assert Path("out/control.safetensors").is_file()


def test_an_option_that_only_large_images_allow_is_not_refused_before_they_are_seen(capsys: Capture) -> None:
    folder(Path("large"), side=40)
    words = ("attack", "F.safetensors", "--factory", NET, "--attack", "occlusion", "--option", "size=36")
    assert run_json(capsys, *words, "--data", "large")["input"] == [3, 40, 40]
    got = "occlusion: expected a size in [0, 32], got 36"
    assert complaint(capsys, *words, "--data", "data") == f"windfirm attack: {got}"


def test_a_network_too_large_for_the_memory_is_one_line(capsys: Capture) -> None:
    said = complaint(capsys, "inspect", NET, "--input", "3,99999999,99999999")
    assert said.startswith("windfirm inspect: memory: expected enough for such a network and images, got ")


def test_a_class_that_only_one_half_has_is_told(capsys: Capture) -> None:
    folder(Path("both/train"))
    folder(Path("both/val"))
    names = sorted(path.name for path in Path("both/train").iterdir())
    Path("both/train", names[0]).rename(Path("both/train/other"))
    main(["attack", "F.safetensors", "--factory", NET, "--data", "both", "--attack", "clean"])
    err = capsys.readouterr().err
    assert "both/val: no image of other\n" in err


def test_weights_as_before_training_that_belong_to_another_network_are_removed(capsys: Capture) -> None:
    Path("out").mkdir()
    checkpoint(Path("out/initial.safetensors"))
    run(capsys, *PRUNE, "--out", "out")
    assert not Path("out/initial.safetensors").exists()


def test_a_training_is_not_written_over_by_a_pruning(capsys: Capture) -> None:
    run(capsys, "train", NET, "--data", "data", "--epochs", "1", "--batch", "4", "--out", "out")
    before = Path("out/model.safetensors").read_bytes()
    said = complaint(capsys, *PRUNE, "--out", "out")
    assert said == "windfirm prune: --out: expected a folder without a training, got out"
    assert Path("out/model.safetensors").read_bytes() == before
    assert Path("out/initial.safetensors").is_file()


def test_weights_that_a_network_is_given_are_not_written_over(capsys: Capture) -> None:
    checkpoint(Path("out/model.safetensors"))
    before = Path("out/model.safetensors").read_bytes()
    words = ("prune", NET, "--weights", "out/model.safetensors", *PRUNE[4:], "--out", "out")
    wanted = "--out: expected another place than the network's own file, got out/model.safetensors"
    assert complaint(capsys, *words).endswith(wanted)
    assert Path("out/model.safetensors").read_bytes() == before


def test_weights_before_training_that_belong_to_the_network_stay_where_they_are(capsys: Capture) -> None:
    checkpoint(Path("out/F.safetensors"))
    checkpoint(Path("out/initial.safetensors"))
    said = complaint(capsys, "prune", "out/F.safetensors", *PRUNE[2:], "--out", "out")
    wanted = "another folder than that of out/F.safetensors and of its weights before training"
    assert said.endswith(f"--out: expected {wanted}, got out")
    assert Path("out/initial.safetensors").is_file()


def test_layers_of_plain_chains_are_asked_for_where_layers_leave(capsys: Capture) -> None:
    wanted = "--plain-layers: expected --structure layers or both, whose blocks they are, got filters"
    assert complaint(capsys, *PRUNE, "--plain-layers", "--out", "out").endswith(wanted)


def test_weights_that_were_forgotten_are_told(capsys: Capture) -> None:
    said = f"{NET}: weights as the function makes them; --weights puts others in\n"
    words = ("--data", "data", "--input", "3,32,32")
    prune = ("prune", NET, *words, "--criterion", "l1", "--ratio", "0.4", "--out", "out")
    attack = ("attack", NET, *words, "--attack", "clean")
    for told in (prune, attack):
        assert main([*told]) == 0
        assert said in capsys.readouterr().err
        assert main([*told, "--weights", "F.safetensors"]) == 0
        assert said not in capsys.readouterr().err


def test_a_network_that_refuses_images_in_its_own_way_is_told_in_one_line(capsys: Capture) -> None:
    said = complaint(capsys, "attack", "tests.commands.toys:picky", "--data", "data", "--attack", "clean")
    wanted = "expected a network that takes images of shape (1, 3, 32, 32), got an error: wants 64"
    assert said == f"windfirm attack: tests.commands.toys:picky: {wanted}"


def test_a_folder_whose_name_is_no_text_costs_no_results(capsys: Capture) -> None:
    try:
        folder(Path(os.fsdecode(b"b\xfcro")))
    except OSError:
        pytest.skip("a file system for names that are text")
    run(capsys, *PRUNE, "--data", os.fsdecode(b"b\xfcro"), "--adjust", "fine-tuning", "--epochs", "1", "--out", "out")
    assert "b\\udcfcro" in Path("out/report.html").read_text(encoding="utf-8")


def test_networks_in_half_precision_are_timed_and_exported_as_they_are(capsys: Capture) -> None:
    half = "tests.commands.toys:half"
    words = ("--input", "3,32,32", "--mean", "0.5", "--std", "0.5")
    assert run_json(capsys, "inspect", half, *words[:2])["groups"]
    run(capsys, "prune", half, *words, "--data", "data", "--criterion", "l1", "--latency", "0.99", "--out", "small")
    exported = run_json(capsys, "export", half, *words, "--data", "data", "--format", "pt2", "--out", "half.pt2")
    assert exported["checked"]["difference"] < 1e-4


def test_commands_that_write_into_one_folder_at_once_keep_what_each_has_written() -> None:
    with results("both") as one:
        (one / "model.txt").write_text("a")
        with results("both") as other:
            (other / "page.html").write_text("b")
        (one / "card.txt").write_text("a")
    assert listing(Path("both")) == ["card.txt", "model.txt", "page.html"]


def test_a_network_that_takes_values_as_they_lie_goes_through_every_command(capsys: Capture) -> None:
    net, data = "tests.commands.toys:viewing", ("--data", "data", "--input", "3,32,32")
    words = ("prune", net, *data, "--criterion", "pls", "--ratio", "0.3", "--control", "--epochs", "1")
    for name in ("fine-tuning", "distill"):
        run(capsys, *words, "--adjust", name, "--out", name)
    compared = ("compare", net, "fine-tuning", "--factory", net, *data, "--attack", "fgsm", "--attack", "pgd")
    found = run_json(capsys, *compared, "--checks", "4")
    assert [subject["outcomes"][-1]["total"] for subject in found["subjects"]] == [16, 16]
    exported = run_json(capsys, "export", "fine-tuning", "--factory", net, *data, "--format", "pt2", "--out", "a.pt2")
    assert exported["checked"]["difference"] < 1e-4


def test_a_network_in_double_precision_is_compared_as_well(capsys: Capture) -> None:
    net = "tests.commands.toys:double"
    found = run_json(capsys, "compare", net, net, "--input", "3,32,32", *COMPARE[2:])
    assert [subject["macs"] for subject in found["subjects"]] == [found["subjects"][0]["macs"]] * 2


def test_a_network_that_is_frozen_is_told_in_one_line(capsys: Capture) -> None:
    words = ("prune", "tests.commands.toys:frozen", "--input", "3,32,32", *PRUNE[4:], "--adjust", "fine-tuning")
    wanted = "expected a parameter to train, got none that asks for a gradient (requires_grad)"
    assert complaint(capsys, *words, "--epochs", "1", "--out", "o") == f"windfirm prune: model: {wanted}"
    assert not Path("o").exists()
