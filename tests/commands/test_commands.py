import json
import sys
from pathlib import Path

import pytest
import torch

from tests.commands.toys import NET, checkpoint, complaint, folder, listing, network, run, run_json
from windfirm.cli import main
from windfirm.commands.inspect import Row, alike
from windfirm.evaluate.curves import EPSES
from windfirm.evaluate.stored import from_json
from windfirm.models.checkpoint import load, read_notes
from windfirm.models.cost import cost

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in a folder of its own that holds 16 images and the tiny network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    checkpoint(tmp_path / "F.safetensors")
    return folder(tmp_path / "data")


def test_inspect_counts_what_can_go(capsys: Capture) -> None:
    found = run_json(capsys, "inspect", NET, "--input", "3,8,8")
    exact = cost(network(), torch.zeros(1, 3, 8, 8))
    assert (found["macs"], found["params"]) == (exact.macs, exact.params)
    first, second, last = found["groups"]
    # One filter of the first convolution: 27 weights, 2 of the normalisation, 8 × 9 that read it.
    assert first == {"name": "0", "size": 6, "layers": 1, "macs": 27 * 64 + 72 * 16, "params": 101, "frozen": None}
    assert (second["name"], second["params"]) == ("3", 55 + 2)
    assert last["frozen"] == "an output of the network"
    assert found["blocks"] == []


def test_inspect_prints_groups_that_are_alike_in_one_line(capsys: Capture) -> None:
    lines = run(capsys, "inspect", "resnet20").splitlines()
    assert any(line.split()[:3] == ["layer1.0-2.conv1", "3", "16"] for line in lines)
    assert any(line.split()[:3] == ["layer1.0-2", "3", "2"] for line in lines)  # blocks
    assert "linear (10): must stay, an output of the network" in lines
    assert len(run(capsys, "inspect", "resnet20", "--all").splitlines()) > len(lines)
    assert max(map(len, lines)) <= 100


def test_only_rows_that_differ_in_numbers_of_the_name_are_alike() -> None:
    rows = [Row(f"a.{i}.{j}.w", 8, 1, 5, 5, None) for i in (0, 1) for j in (0, 1, 3)]
    rows += [Row("a.2.0.w", 9, 1, 5, 5, None), Row("b.0.w", 8, 1, 5, 5, None), Row("stem", 8, 1, 5, 5, None)]
    assert [(row.name, count) for row, count in alike(rows)] == [
        ("a.0-1.0-1,3.w", 6),
        ("a.2.0.w", 1),
        ("b.0.w", 1),
        ("stem", 1),
    ]


def test_prune_by_l1_leaves_a_network_that_loads_again_and_its_record(capsys: Capture, data: Path) -> None:
    words = ("prune", "F.safetensors", "--factory", NET, "--data", data, "--criterion", "l1", "--ratio", "0.4")
    record = run_json(capsys, *words, "--out", "out")
    assert listing(Path("out")) == ["MODEL_CARD.md", "model.safetensors", "record.json", "report.html"]
    assert json.loads(Path("out/record.json").read_text()) == record
    unknown = {"shape": [3, 32, 32], "mean": None, "std": None}
    assert read_notes("out/model.safetensors") == {"pruned": record, "intake": unknown, "factory": NET}
    smaller = cost(load("out/model.safetensors", network), torch.zeros(1, 3, 32, 32))
    assert vars(smaller) == record["after"]
    assert smaller.params < record["before"]["params"]
    assert sum(record["rounds"][0]["removed"].values()) == round(0.4 * 14)


def test_prune_by_pls_in_rounds_with_fine_tuning_and_a_control(capsys: Capture, data: Path) -> None:
    words = ("prune", "F.safetensors", "--factory", NET, "--data", data, "--macs", "0.5", "--rounds", "2")
    text = run(capsys, *words, "--adjust", "fine-tuning", "--epochs", "1", "--control", "--out", "out")
    assert listing(Path("out")) == [
        "MODEL_CARD.md",
        "control.safetensors",
        "model.safetensors",
        "record.json",
        "report.html",
    ]
    record = json.loads(Path("out/record.json").read_text())
    assert [entry["number"] for entry in record["rounds"]] == [1, 2]
    assert record["after"]["macs"] <= 0.5 * record["before"]["macs"]
    control, original = load("out/control.safetensors", network), load("F.safetensors", network)
    assert cost(control, torch.zeros(1, 3, 32, 32)) == cost(original, torch.zeros(1, 3, 32, 32))
    assert any(not torch.equal(a, b) for a, b in zip(control.parameters(), original.parameters(), strict=True))
    assert text.splitlines()[-2:] == [
        "out/control.safetensors: F, adjusted alike, not pruned",
        "page: out/report.html",
    ]
    again = run_json(capsys, *words, "--adjust", "fine-tuning", "--epochs", "1", "--control", "--out", "again")
    assert again == record
    assert Path("out/control.safetensors").read_bytes() == Path("again/control.safetensors").read_bytes()


def test_attack_counts_are_those_of_the_network(capsys: Capture, data: Path) -> None:
    words = ("attack", "F.safetensors", NET, "--factory", NET, "--data", data, "--trials", "2", "--images", "12")
    found = run_json(capsys, *words)
    assert (found["data"], found["images"], found["seed"]) == ("data", 12, 0)
    assert [entry["network"] for entry in found["networks"]] == ["F", NET]
    outcomes = {outcome["attack"]: outcome for outcome in found["networks"][0]["outcomes"]}
    assert list(outcomes) == ["semantic", "occlusion", "fgsm", "clean"]
    assert {name: outcome["total"] for name, outcome in outcomes.items()} == {
        "semantic": 24,
        "occlusion": 24,
        "fgsm": 12,
        "clean": 12,
    }
    text = run(capsys, *words).splitlines()
    assert text[0].split() == ["network", "attack", "right", "of", "accuracy,", "%", "95", "%", "interval"]
    assert "data, 12 images, seed 0" in text


def test_options_go_to_the_attacks_that_have_them(capsys: Capture, data: Path) -> None:
    words = ("attack", NET, "--data", data, "--attack", "pgd", "--attack", "apgd-ce", "--attack", "occlusion")
    found = run_json(capsys, *words, "--option", "steps=2", "--option", "restarts=3", "--option", "size=4")
    titles = [outcome["title"] for outcome in found["networks"][0]["outcomes"]]
    assert titles[0].startswith("2 steps of 0.25 eps ")
    assert "worst of every step of 3 restarts" in titles[0]
    assert titles[1].startswith("shortened Auto-PGD, 2 steps on the cross-entropy, 3 random starts")
    assert titles[2].startswith("one grey 4×4 square")


def test_progress_goes_to_standard_error_as_plain_lines(capsys: Capture, data: Path) -> None:
    assert main(["attack", NET, "--data", str(data), "--attack", "clean", "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["images"] == 16
    told = f"{NET}: weights as the function makes them; --weights puts others in\n"
    assert err == f"{NET}, clean: 100%\n{told}"


def test_compare_writes_a_page_and_json_that_reads_back(capsys: Capture, data: Path) -> None:
    words = ("compare", "F.safetensors", NET, "--control", NET, "--factory", NET, "--data", data, "--trials", "2")
    found = from_json(run_json(capsys, *words, "--out", "pages/one.html"))
    assert [subject.role for subject in found.subjects] == ["F", "F'", "control"]
    assert {delta.versus for delta in found.deltas} == {"F", "control"}
    assert all(delta.points == 0 for delta in found.deltas if delta.versus == "control")
    assert [subject.checks and subject.checks.images for subject in found.subjects] == [16, 16, 16]
    assert listing(Path("pages")) == ["one.html"]
    assert "<html" in Path("pages/one.html").read_text(encoding="utf-8")
    lines = run(capsys, *words, "--out", "pages/one.html").splitlines()
    assert lines[-1] == "page: pages/one.html"


def test_sweeps_are_curves_on_the_page_and_in_the_document(capsys: Capture, data: Path) -> None:
    words = ["compare", NET, NET, "--data", data, "--attack", "clean", "--checks", "0", "--out", "a.html"]
    words += ["--sweep", "fgsm", "--sweep", "occlusion:size=4,2", "--trials", "2", "--option", "colour=black"]
    for subject in from_json(run_json(capsys, *words)).subjects:
        fgsm, size = subject.sweeps
        assert (fgsm.what, fgsm.values, size.what, size.values) == ("eps", EPSES, "size", (2, 4))
        assert size.outcomes[1].title == "one black 4×4 square at a random place, mean of 2 draws"
        assert fgsm.outcomes[0].count == subject.outcomes[0].count
        assert subject.curve == ()  # the sweep shows the same
    page = Path("a.html").read_text(encoding="utf-8")
    assert "<h2>Accuracy under fgsm against eps</h2>" in page
    assert "<figcaption>The attack: at size 4, one black 4×4 square" in page
    last = run(capsys, *words).splitlines()[-1]
    assert last == "page: a.html, with accuracy under fgsm against eps and accuracy under occlusion against size"


@pytest.mark.parametrize(
    ("sweeps", "complained"),
    [
        (["occlusion"], "--sweep occlusion: expected one of size, trials to go over, got none"),
        (["clean"], "--sweep clean: expected an attack with a number to go over, got none"),
        (
            ["occlusion:sizes=1,2"],
            "--sweep occlusion: expected one of size, trials to go over, got sizes; did you mean size?",
        ),
        (["occlusion:colour=grey,black"], "--sweep occlusion: expected one of size, trials to go over, got colour"),
        (["occlusion:size=4"], "--sweep occlusion: expected at least two values of size, all different, got 4"),
        (["occlusion:size=4,x"], "occlusion: expected size as a whole number, got x"),
        (["occlusion:size"], "--sweep: expected NAME:OPTION=V,V,… such as occlusion:size=4,8,12, got occlusion:size"),
        (["fgsm", "fgsm:eps=0,8/255"], "--sweep fgsm: expected one sweep of eps, got two"),
        (["fgsm:eps=0,9"], "eps: expected a number in [0, 1], such as 8/255, got 9"),
        (["fgsm"], "--sweep: expected --out or --json, where its curve goes, got neither"),
        (
            ["occlusion:size="],
            "--sweep: expected NAME or NAME:OPTION=V,V,… such as occlusion:size=4,8,12, got occlusion:size=; "
            "see windfirm compare --help",
        ),
    ],
)
def test_what_cannot_be_swept_is_told(capsys: Capture, sweeps: list[str], complained: str) -> None:
    words = [word for sweep in sweeps for word in ("--sweep", sweep)]
    assert complaint(capsys, "compare", NET, NET, *words) == f"windfirm compare: {complained}"


def test_eps_is_of_the_norm_by_which_a_sweep_goes(capsys: Capture, data: Path) -> None:
    words = ("compare", NET, NET, "--data", data, "--attack", "clean", "--checks", "0", "--sweep", "pgd:steps=1,2")
    for subject in from_json(run_json(capsys, *words, "--option", "norm=l2", "--eps", "1.5")).subjects:
        assert [outcome.eps for sweep in subject.sweeps for outcome in sweep.outcomes] == [1.5, 1.5]


def test_an_attack_that_goes_by_l2_wants_a_length(capsys: Capture, data: Path) -> None:
    words = ("attack", NET, "--data", data, "--attack", "fgsm", "--attack", "pgd", "--option", "norm=l2")
    wanted = "--eps: expected a length in L2 for pgd, such as 0.5, got none"
    assert complaint(capsys, *words) == f"windfirm attack: {wanted}"


def test_compare_prints_verdicts_and_doubts_and_both_can_be_set(capsys: Capture, data: Path) -> None:
    words = ("compare", NET, NET, "--factory", NET, "--data", data, "--attack", "fgsm")
    made, *lines = run(capsys, *words, "--margin", "20").splitlines()
    assert made == "Warning, F and F′: weights as the function makes them; --weights puts others in."
    assert "there is no difference that this many images can show under fgsm (0.00 points; " in lines[1]
    assert "≈ means within ±20 points, which two one-sided tests show (p = 0.023)." in lines[2]
    assert lines[5].startswith(("Warning, F: ", "Checks of gradients and outputs on 16 images found no reason"))
    assert lines[-3] == "data, 16 images, seed 0"
    assert lines[-2] == "  fgsm: one step along the sign of the loss gradient, white-box, true labels, eps 8/255"
    found = run_json(capsys, *words, "--checks", "0")
    assert [subject["checks"] for subject in found["subjects"]] == [None, None]
    assert [delta["verdict"] for delta in found["deltas"]] == ["none shown", "none shown"]
    assert found["inequality"][0]["answer"] == "not shown"
    assert complaint(capsys, *words, "--margin", "0") == (
        "windfirm compare: --margin: expected a number of points in (0, 100], got 0; see windfirm compare --help"
    )


def test_train_keeps_initial_weights_and_what_it_made_can_be_attacked(capsys: Capture, data: Path) -> None:
    record = run_json(capsys, "train", "resnet20", "--data", data, "--epochs", "1", "--batch", "8", "--out", "run")
    assert listing(Path("run")) == ["initial.safetensors", "model.safetensors", "record.json"]
    assert record["command"] == (
        "windfirm train resnet20 --data data --epochs 1 --lr 0.15 --batch 8 --schedule onecycle "
        "--weight-decay 0.0005 --seed 0"
    )
    assert [entry["epoch"] for entry in record["epochs"]] == [1]
    initial, trained = load("run/initial.safetensors"), load("run/model.safetensors")
    assert any(not torch.equal(a, b) for a, b in zip(initial.parameters(), trained.parameters(), strict=True))
    found = run_json(capsys, "attack", "run", "--data", data, "--attack", "clean")
    assert found["networks"][0]["network"] == "run"
    assert found["networks"][0]["outcomes"][0]["total"] == 16


def test_train_goes_on_from_an_earlier_run(capsys: Capture, data: Path) -> None:
    words = ("train", "resnet20", "--data", data, "--epochs", "1", "--batch", "8")
    first = run_json(capsys, *words, "--out", "first")
    second = run_json(capsys, *words, "--from", "first", "--lr", "1e-30", "--out", "second")
    assert second["before"] == first
    assert second["command"].startswith("windfirm train resnet20 --from first --data data")
    for name in ("initial", "model"):  # the initial weights stay; at this rate the trained ones do as well
        a, b = (load(f"{run}/{name}.safetensors") for run in ("first", "second"))
        assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert complaint(capsys, *words, "--from", "third", "--out", "x") == (
        "windfirm train: --from third: expected a folder that `windfirm train` wrote, got no initial.safetensors there"
    )
    assert not Path("x").exists()


def test_data_list_and_verify(capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WINDFIRM_HOME", str(tmp_path / "home"))
    cifar10, embedded = run_json(capsys, "data", "list")
    assert (cifar10["name"], cifar10["images"], cifar10["state"]) == ("cifar10", 60_000, "not fetched")
    assert (embedded["name"], embedded["images"], embedded["state"]) == ("embedded", 5_000, "in the package")
    assert run(capsys, "data", "list").splitlines()[0].split() == ["name", "images", "state", "where"]
    assert run(capsys, "data", "verify", "embedded") == "embedded: every byte as it should be\n"
    assert run_json(capsys, "data", "verify", "embedded") == {"name": "embedded", "state": "ready"}
