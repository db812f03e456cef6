"""The cells of a real study beside the functions that they call, called by hand."""

import copy
from collections.abc import Collection
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from tests.study.nets import bare, tiny
from windfirm import data, seeds
from windfirm.adjust.adjustments import adjust
from windfirm.adjust.train import Recipe, train
from windfirm.attack.registry import build
from windfirm.data.augment import to_float
from windfirm.evaluate.loop import evaluate
from windfirm.evaluate.outcome import Outcome, unpack
from windfirm.evaluate.transfer import transfer
from windfirm.models.checkpoint import load, save
from windfirm.models.normalize import Normalized
from windfirm.models.source import INITIAL, MODEL
from windfirm.prune.both import turn
from windfirm.prune.budget import Budget
from windfirm.prune.propose import Target
from windfirm.prune.schedule import prune_in_rounds
from windfirm.study.drive import drive
from windfirm.study.expand import Graph, expand
from windfirm.study.listing import measured, shown
from windfirm.study.local import InProcess
from windfirm.study.pictures import pictures
from windfirm.study.plan import read
from windfirm.study.provenance import digest
from windfirm.study.schedule import Board
from windfirm.study.store import opened

STUDY = """
seeds = [5]
[network]
arch = "tests.study.nets:tiny"
[data]
train = 48
test = 16
[train]
epochs = 1
lr = 0.05
[prune]
structure = "both"
criterion = "expected-abs"
ratio = 0.4
rounds = 2
[adjust]
name = "fine-tuning"
epochs = 1
[[attack]]
name = "semantic"
trials = 2
[[attack]]
name = "fgsm"
eps = "2/255"
[[attack]]
name = "fgsm"
eps = "2/255"
from = "F"
"""


def ran(folder: Path, text: str = STUDY, errors: Collection[str] = ()) -> Graph:
    (folder / "s.toml").write_text(text)
    plan = read(folder / "s.toml")
    graph = expand(plan)
    with opened(folder, create=True) as store:
        store.add_study("s", plan.to_json(), list(graph.cells.values()), graph.places)
        board = Board(graph.cells.values())
        drive(store, store.begin({}), board, InProcess("windfirm.study.cells:executors"))
    assert [*board.errors.values()] == [*errors]
    return graph


def networks(folder: Path) -> dict[str, nn.Module]:
    """What the cells have kept, by role, and F as before training."""
    with opened(folder) as store:
        keys = {entry.role: str(entry.network) for entry in measured(store)}
        found = {role: load(store.path(key, MODEL), tiny) for role, key in keys.items()}
        return found | {"initial": load(store.path(keys["F"], INITIAL), tiny)}


def by_hand() -> dict[str, nn.Module]:
    images = data.load("embedded", "train", limit=48)
    with seeds.default_stream(5, "init"):
        initial: nn.Module = tiny()
    f = copy.deepcopy(initial)
    train(f, images.images, images.labels, Recipe(epochs=1, lr=0.05), seed=seeds.number(5, "train"))

    def tune(model: nn.Module, number: int) -> None:
        adjust("fine-tuning", model, images, epochs=1, seed=seeds.number(5, "round", number))

    target = Target(Budget("ratio", 0.4), "both")
    batches = [(to_float(images.images), images.labels)]
    example = to_float(images.images[:1])
    smaller, _ = prune_in_rounds(
        copy.deepcopy(f), example, "expected-abs", target, 2, batches=batches, adjust=tune, seed=5
    )
    control = copy.deepcopy(f)
    for number in (1, 2):
        tune(control, number)
    return {"initial": initial, "F": f, "F'": smaller, "control": control}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    ran(folder)
    return folder


def test_cells_end_with_the_very_networks_that_the_functions_make(folder: Path) -> None:
    found, wanted = networks(folder), by_hand()
    for role, network in wanted.items():
        state = network.state_dict()
        assert found[role].state_dict().keys() == state.keys()
        assert all(torch.equal(value, state[name]) for name, value in found[role].state_dict().items()), role


def test_rows_are_what_evaluate_returns(folder: Path) -> None:
    images = data.load("embedded", "test", limit=16)
    with opened(folder) as store:
        rows = {(entry.role, entry.row["attack"]): unpack(entry.row) for entry in measured(store)}
        costs = {entry.role: (entry.macs, entry.params) for entry in measured(store)}
    assert len(rows) == 9
    models = networks(folder)
    made = transfer(
        models["F"], {role: models[role] for role in costs}, images, build("fgsm", 32), name="F", eps=2 / 255, seed=5
    )
    for role, outcome in made.items():
        assert same(rows.pop((role, "fgsm from F")), outcome)
    for (role, name), row in rows.items():
        attack = build(name, 32, **({"trials": 2} if name == "semantic" else {}))
        assert same(row, evaluate(models[role], images, attack, eps=2 / 255, seed=5))
    assert costs["F"] == costs["control"] == (12_239_488, 75_290)
    assert costs["F'"][0] is not None
    assert costs["F'"][0] < 12_239_488


def test_a_coin_that_says_filters_leaves_nothing_to_be_done_twice(tmp_path: Path) -> None:
    seed = next(seed for seed in range(100) if turn("coin", 1, seed)[0] == "filters")
    text = STUDY.replace("seeds = [5]", f"seeds = [{seed}]").replace("rounds = 2", "rounds = 1")
    text = text.replace('structure = "both"', 'choose = "coin"') + '[[grid]]\nprune.structure = ["filters", "both"]\n'
    ran(tmp_path, text)
    with opened(tmp_path) as store:
        twins = [entry.facts["twin"] for entry in shown(store) if "twin" in entry.facts]
        kinds = [entry.kind for entry in shown(store) if "twin" in entry.facts]
        rows: dict[str, list[object]] = {"filters": [], "both": []}
        for entry in measured(store):
            if entry.role == "F'":
                rows[entry.point["prune.structure"]].append((entry.row, entry.macs, entry.params))
    assert len(twins) == len(set(twins))
    assert kinds == ["adjust", "attack", "attack", "attack"]
    assert rows["both"] == rows["filters"]


def test_photos_are_brought_to_the_size_of_the_network_and_the_unreadable_are_told(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for label in range(10):
        (photos / str(label)).mkdir(parents=True)
        Image.new("RGB", (12 - label, 9)).save(photos / str(label) / "a.png")
    (photos / "0" / "b.png").write_bytes(b"no picture")
    lines = ['network.arch = "tests.study.nets:stated"', "train.epochs = 1", f'data.name = "{photos}"']
    cut = 'prune = { structure = "filters", criterion = "l1", ratio = 0.3 }'
    ran(tmp_path, "\n".join([*lines, cut, 'attack = [{ name = "fgsm" }]']))
    with opened(tmp_path) as store:
        rows = [*measured(store)]
        seen = pictures(store, rows)
        trained = [cell.facts["data"] for cell in shown(store) if cell.kind == "train"]
    assert {row.about["data"] for row in rows} == {"photos (1 of 11 files left out as unreadable)"} == {*trained}
    assert seen is not None
    assert {example.image.shape for example in seen.examples} == {(8, 8, 3)}


def rows_of(folder: Path) -> list[tuple[str, object]]:
    with opened(folder) as store:
        return [(entry.role, entry.row) for entry in measured(store)]


def test_a_study_says_how_a_network_is_fed_that_does_not_say_so_itself(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for label in range(10):
        (photos / str(label)).mkdir(parents=True)
        picture = Image.linear_gradient("L").resize((16 - label, 9)).rotate(36 * label)
        picture.convert("RGB").save(photos / str(label) / "a.png")
    lines = ["train.epochs = 1", f'data = {{ name = "{photos}", resize = "squash" }}', 'attack = [{ name = "fgsm" }]']
    cut = 'prune = { structure = "filters", criterion = "pls", ratio = 0.3 }'
    text, how = "\n".join([*lines, cut]), "input = [3, 8, 8], mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25]"
    for name, arch in {"said": f'"tests.study.nets:bare", {how}', "stated": '"tests.study.nets:bare_stated"'}.items():
        (tmp_path / name).mkdir()
        ran(tmp_path / name, f"network = {{ arch = {arch} }}\n{text}")
    assert rows_of(tmp_path / "said") == rows_of(tmp_path / "stated")
    images = data.load(str(photos), "test", shape=(3, 8, 8), resize="squash")
    with opened(tmp_path / "said") as store:
        assert {row.about["digest"] for row in measured(store)} == {digest(images)}
        seen = pictures(store, [*measured(store)])
    assert seen is not None
    assert any((seen.examples[0].image == image.permute(1, 2, 0).numpy()).all() for image in images.images)


def test_weights_in_a_file_are_fed_as_the_study_says(tmp_path: Path) -> None:
    network = bare()
    save(network, tmp_path / "m.safetensors")
    how = f'weights = "{tmp_path / "m.safetensors"}", mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25]'
    lines = [f'network = {{ arch = "tests.study.nets:bare", {how} }}', "data.test = 16", 'attack = [{ name = "fgsm" }]']
    ran(tmp_path, "\n".join(lines))
    fed = Normalized(network.eval(), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    wanted = evaluate(fed, data.load("embedded", "test", limit=16), build("fgsm", 32))
    with opened(tmp_path) as store:
        (found,) = (unpack(entry.row) for entry in measured(store))
    assert same(found, wanted)


def test_a_network_for_other_classes_is_told_before_it_is_trained(tmp_path: Path) -> None:
    (tmp_path / "photos" / "one").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "one" / "a.png")
    lines = ['network.arch = "tests.study.nets:tiny"', f'data.name = "{tmp_path / "photos"}"']
    wanted = "tests.study.nets:tiny: expected outputs of shape (1, 1) for the classes of photos, got (1, 10)"
    ran(tmp_path, "\n".join([*lines, 'attack = [{ name = "clean" }]']), [wanted])
    with opened(tmp_path) as store:
        assert [entry.kind for entry in shown(store) if entry.state == "failed"] == ["train"]


def same(row: Outcome, other: Outcome) -> bool:
    plain = [(o.attack, o.title, o.eps, o.trials, o.correct.tolist()) for o in (row, other)]
    return plain[0] == plain[1]
