from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from windfirm.errors import InputError
from windfirm.study.cell import Cell
from windfirm.study.expand import Graph, expand
from windfirm.study.find import builtin, find
from windfirm.study.plan import read

BASE = """\
name = "s"
[prune]
structure = "filters"
criterion = "l1"
ratio = 0.5
rounds = 2
[adjust]
name = "fine-tuning"
[[attack]]
name = "clean"
"""


def of(folder: Path, *changes: str, text: str = BASE) -> Graph:
    path = folder / "s.toml"
    path.write_text(text)
    return expand(read(path, changes=changes))


def kinds(graph: Graph) -> Counter[str]:
    return Counter(cell.kind for cell in graph.cells.values())


def measured(graph: Graph, role: str) -> Cell:
    """The network that a role's measurement is of."""
    (place,) = (place for place in graph.places if place.role == role)
    return graph.cells[graph.cells[place.cell].inputs["network"]]


def line(graph: Graph, cell: Cell) -> list[str]:
    """The kinds of the networks that lead to one."""
    found = [cell.kind]
    while "network" in cell.inputs:
        cell = graph.cells[cell.inputs["network"]]
        found.append(cell.kind)
    return found[::-1]


def test_f_is_pruned_and_adjusted_round_by_round_and_the_control_is_adjusted_alike(tmp_path: Path) -> None:
    graph = of(tmp_path)
    assert line(graph, measured(graph, "F")) == ["train"]
    assert line(graph, measured(graph, "F'")) == ["train", "prune", "adjust", "prune", "adjust"]
    assert line(graph, measured(graph, "control")) == ["train", "adjust", "adjust"]
    assert kinds(graph) == {"train": 1, "prune": 2, "adjust": 4, "attack": 3}
    pruned, control = (measured(graph, role).settings for role in ("F'", "control"))
    assert pruned == control


EVERYTHING = """\
seeds = [7]
network = { arch = "resnet20", input = [3, 32, 32], mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25] }
data = { train = 40, test = 20, resize = "pad" }
train = { epochs = 5, lr = 0.3, batch = 64, schedule = "step", weight-decay = 0.25, defence = "pgd-at", eps = 0.125 }
adjust = { name = "fine-tuning", epochs = 3, lr = 0.02, defence = "pgd-at", eps = 0.25 }
[prune]
structure = "both"
criterion = "pls"
ratio = 0.5
ranking = "per-layer"
floor = 0.2
protect = ["conv1"]
choose = "coin"
plain-layers = true
images = 30
[[attack]]
name = "pgd"
steps = 3
eps = 0.5
"""


def test_every_setting_stands_in_the_cells_that_use_it(tmp_path: Path) -> None:
    graph = of(tmp_path, text=EVERYTHING)
    data = {"name": "embedded", "images": 40, "resize": "pad"}
    intake = {"shape": [3, 32, 32], "mean": [0.5] * 3, "std": [0.25] * 3}
    recipe = {"epochs": 5, "lr": 0.3, "batch": 64, "schedule": "step", "weight-decay": 0.25}
    said = {cell.kind: cell.settings for cell in graph.cells.values()}
    assert said["train"] == {
        "arch": "resnet20", "recipe": recipe, "defence": {"name": "pgd-at", "eps": 0.125}, "seed": 7, "data": data,
        "intake": intake,
    }  # fmt: skip
    assert said["prune"] == {
        "structure": "both", "criterion": "pls", "budget": "ratio", "share": 0.5, "round": 1, "rounds": 1,
        "ranking": "per-layer", "floor": 0.2, "protect": ["conv1"], "choose": "coin", "plain": True, "seed": 7,
        "data": data | {"images": 30},
    }  # fmt: skip
    assert said["adjust"] == {
        "name": "fine-tuning", "epochs": 3, "lr": 0.02, "defence": {"name": "pgd-at", "eps": 0.25}, "round": 1,
        "seed": 7, "data": data,
    }  # fmt: skip
    assert said["attack"] == {
        "attack": "pgd", "options": {"steps": 3}, "seed": 7, "data": data | {"images": 20}, "eps": 0.5
    }  # fmt: skip


def test_a_defence_beside_f_has_its_own_eps(tmp_path: Path) -> None:
    text = EVERYTHING.replace("[prune]", 'defend = { name = "pgd-at", eps = 0.375 }\n[prune]')
    trained = [
        cell.settings["defence"]["eps"] for cell in of(tmp_path, text=text).cells.values() if cell.kind == "train"
    ]
    assert trained == [0.125, 0.375]


@pytest.mark.parametrize(
    ("changes", "images"),
    [
        (["prune.criterion=l1"], 1),  # which tells its shape
        (["prune.criterion=pls"], 40),
        (["prune.criterion=l1", "prune.structure=both", "prune.choose=alternate"], 1),
        (["prune.criterion=l1", "prune.structure=both", "prune.choose=cka"], 40),
        (["prune.criterion=l1", "prune.choose=cka"], 1),  # there is nothing to choose from
        (["prune.criterion=tests.study.nets:undecided"], 40),
    ],
)
def test_cells_that_look_at_no_image_do_not_depend_on_how_many_there_are(
    tmp_path: Path, changes: list[str], images: int
) -> None:
    graph = of(tmp_path, "data.train=40", *changes)
    assert {cell.settings["data"]["images"] for cell in graph.cells.values() if cell.kind == "prune"} == {images}


@pytest.mark.parametrize(("whole", "own", "images"), [("100", "20", 20), ("20", "100", 20), (None, "20", 20)])
def test_an_attack_takes_no_more_images_than_there_are(
    tmp_path: Path, whole: str | None, own: str, images: int
) -> None:
    text = BASE.replace('name = "clean"', f'name = "fgsm"\nimages = {own}')
    graph = of(tmp_path, *([f"data.test={whole}"] if whole else []), text=text)
    assert {cell.settings["data"]["images"] for cell in graph.cells.values() if cell.kind == "attack"} == {images}


def test_criteria_look_at_no_more_images_than_there_are_to_train_on(tmp_path: Path) -> None:
    graph = of(tmp_path, "prune.criterion=pls", "data.train=40", "prune.images=640")
    assert {cell.settings["data"]["images"] for cell in graph.cells.values() if cell.kind == "prune"} == {40}


def test_what_need_not_be_done_twice_is_one_cell(tmp_path: Path) -> None:
    graph = of(tmp_path, text=BASE + "[[grid]]\nprune.ratio = [0.1, 0.3, 0.5]\n")
    assert kinds(graph) == {"train": 1, "prune": 6, "adjust": 2 + 6, "attack": 1 + 1 + 3}
    assert Counter(place.role for place in graph.places) == {"F": 3, "control": 3, "F'": 3}
    both = {**graph.cells, **of(tmp_path, "prune.criterion=l2", "prune.ratio=0.1").cells}
    assert kinds(Graph(both)) == {"train": 1, "prune": 8, "adjust": 10, "attack": 6}


def test_an_adjustment_that_is_pointless_between_cuts_runs_after_the_last(tmp_path: Path) -> None:
    graph = of(tmp_path, "adjust.name=w-ticket")
    assert line(graph, measured(graph, "F'")) == ["train", "prune", "prune", "adjust"]
    assert line(graph, measured(graph, "control")) == ["train", "adjust"]
    assert measured(graph, "F'").inputs["initial"] == measured(graph, "F").key


def test_without_an_adjustment_or_when_it_is_not_wanted_there_is_no_control(tmp_path: Path) -> None:
    for change in ("adjust.name=none", "control=false"):
        assert {place.role for place in of(tmp_path, change).places} == {"F", "F'"}


def test_the_control_of_two_adjustments_that_differ_by_the_cut_alone_is_one(tmp_path: Path) -> None:
    names = '[[grid]]\nadjust.name = ["scratch-e", "scratch-b", "w-ticket"]\n'
    graph = of(tmp_path, text=BASE.replace('name = "fine-tuning"\n', "epochs = 3\n") + names)
    adjusted = Counter(cell.settings["name"] for cell in graph.cells.values() if cell.kind == "adjust")
    assert adjusted == {"scratch-e": 2, "scratch-b": 1, "w-ticket": 2}
    controls = [place.cell for place in graph.places if place.role == "control"]
    assert (len(controls), len(set(controls))) == (3, 2)


def test_a_defence_is_trained_from_scratch_beside_f_and_may_be_pruned_too(tmp_path: Path) -> None:
    graph = of(tmp_path, "defend.name=mixup", "prune.structure=none", "adjust.name=none")
    f, defended = measured(graph, "F"), measured(graph, "F'")
    assert defended.settings == {**f.settings, "defence": {"name": "mixup"}}
    assert {place.role for place in graph.places} == {"F", "F'"}
    graph = of(tmp_path, "defend.name=pgd-at", "defend.eps=4/255", "prune.rounds=1")
    assert line(graph, measured(graph, "F'")) == ["train", "prune", "adjust"]
    start = graph.cells[graph.cells[measured(graph, "F'").inputs["network"]].inputs["network"]]
    assert start.settings["defence"] == {"name": "pgd-at", "eps": 4 / 255}


def test_a_defence_of_the_users_own_is_given_what_it_takes(tmp_path: Path) -> None:
    name = "tests.defend.test_registry:patient"  # it has no eps
    graph = of(tmp_path, f"defend.name={name}", "defend.eps=4/255", "prune.structure=none", "adjust.name=none")
    assert measured(graph, "F'").settings["defence"] == {"name": name}


def test_an_attack_may_take_fewer_images_than_the_others(tmp_path: Path) -> None:
    graph = of(tmp_path, "data.test=100", text=BASE + '[[attack]]\nname = "fgsm"\nimages = 20\n')
    cells = [cell.settings for cell in graph.cells.values() if cell.kind == "attack"]
    assert {cell["attack"]: cell["data"]["images"] for cell in cells} == {"clean": 100, "fgsm": 20}
    assert {cell["attack"]: cell.get("eps") for cell in cells} == {"clean": None, "fgsm": 8 / 255}


def test_images_may_be_made_on_one_network_and_shown_to_each(tmp_path: Path) -> None:
    attack = """[[attack]]\nname = "fgsm"\nfrom = ["F", "control"]\n"""
    graph = of(tmp_path, text=BASE + attack)
    shown = [(place, graph.cells[place.cell]) for place in graph.places]
    networks = {place.role: cell.inputs["network"] for place, cell in shown}
    pairs = {(cell.settings["from"], place.role) for place, cell in shown if "from" in cell.settings}
    assert pairs == {(source, role) for source in ("F", "control") for role in ("F", "F'", "control")}
    assert all(cell.inputs["source"] == networks[cell.settings["from"]] for _, cell in shown if "from" in cell.settings)
    alone = of(tmp_path, "control=false", text=BASE + attack)
    assert {cell.settings.get("from") for cell in alone.cells.values()} == {None, "F"}


def test_every_seed_has_its_own_cells_but_weights_that_are_there_are_opened_once(tmp_path: Path) -> None:
    assert kinds(of(tmp_path, "seeds=[0, 1]"))["train"] == 2
    graph = of(tmp_path, "seeds=[0, 1]", "network.weights=shipped")
    assert kinds(graph) == {"open": 1, "prune": 4, "adjust": 8, "attack": 6}


def test_of_a_rate_the_first_rounds_are_shared_by_all_that_have_more(tmp_path: Path) -> None:
    text = BASE + "[[grid]]\nprune.rounds = [1, 2, 3]\n"
    assert kinds(of(tmp_path, "prune.rate=0.1", text=text))["prune"] == 3
    assert kinds(of(tmp_path, "prune.ratio=0.1", text=text))["prune"] == 1 + 2 + 3


def test_weights_in_a_file_are_known_by_their_bytes(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"one")
    first = of(tmp_path, f"network.weights={tmp_path}")
    (tmp_path / "model.safetensors").write_bytes(b"other")
    second = of(tmp_path, f"network.weights={tmp_path}")
    assert not first.cells.keys() & second.cells.keys()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            ["network.weights=shipped", "network.arch=resnet20"],
            "network.weights: expected train, as the package has none of resnet20, got shipped",
        ),
        (
            ["network.weights=shipped", "defend.name=mixup"],
            "network.weights: expected train, so that F is trained as the network with the defence is, got shipped",
        ),
        (
            ["adjust.name=none", "adjust.defence=mixup"],
            "adjust.defence: expected an adjust.name that trains with it, got none",
        ),
        (
            ["prune.criterion=tests.study.test_expand:of"],
            "tests.study.test_expand:of: expected a function made a criterion by windfirm.criterion, got function",
        ),
        (
            ["network.arch=tests.study.test_expand:BASE"],
            "tests.study.test_expand:BASE: expected a function that makes a torch.nn.Module, got str",
        ),
        (["network.mean=[0.5]"], "network: expected mean and std together, got one of them"),
        (
            ["network.mean=[0.5, 0.5]", "network.std=[0.5]"],
            "network: expected a mean in [0, 1], as pixels are, and a finite std above 0 for each channel, "
            "got (0.5, 0.5) and (0.5,)",
        ),
        (["adjust.name=bn-only", "adjust.epochs=3"], "bn-only: expected no recipe, as it trains nothing, got epochs"),
    ],
)
def test_settings_that_cannot_go_together_are_told(tmp_path: Path, changes: list[str], words: str) -> None:
    with pytest.raises(InputError) as error:
        of(tmp_path, *changes)
    assert str(error.value) == f"s: {words}"


def test_a_complaint_names_the_point_of_the_grid(tmp_path: Path) -> None:
    text = BASE.replace("ratio = 0.5\n", "") + "[[grid]]\nprune.criterion = ['l2', 'pls']\n"
    with pytest.raises(InputError) as error:
        of(tmp_path, text=text)
    wanted = "expected exactly one of rate, ratio, macs, params or latency, got none"
    assert str(error.value) == f"s at prune.criterion l2: budget: {wanted}"


@pytest.mark.parametrize("scale", ["smoke", "laptop", "gpu", "paper"])
@pytest.mark.parametrize("name", builtin())
def test_the_studies_of_the_poster_have_a_control_for_every_cut_at_every_scale(name: str, scale: str) -> None:
    graph = expand(read(find(name), scale=scale))
    at: dict[str, set[str]] = {}
    for place in graph.places:
        at.setdefault(str(place.point), set()).add(place.role)
    cut = [roles for point, roles in at.items() if "'prune.structure': 'none'" not in point]
    assert cut
    assert all(roles == {"F", "F'", "control"} for roles in cut)
    assert all(roles >= {"F", "F'"} for roles in at.values())


def test_the_first_table_has_the_posters_rows_and_columns() -> None:
    plan = read(find("table1"), scale="paper")
    rows: list[tuple[Any, ...]] = [tuple(point.axes.values()) for point in plan.points]
    structures = ("filters", "layers", "both")
    assert rows == [(arch, structure) for arch in ("resnet56", "mobilenet-v2") for structure in structures]
    assert [entry.attack for entry in plan.measurements][:4] == ["semantic", "occlusion", "fgsm", "clean"]


def test_an_attack_whose_images_no_network_here_makes_is_told(tmp_path: Path) -> None:
    attack = """[[attack]]\nname = "fgsm"\nfrom = ["control"]\n"""
    with pytest.raises(InputError) as error:
        of(tmp_path, "control=false", text=BASE + attack)
    wanted = "images from one of its networks, F, F', got control"
    assert str(error.value) == f"s: attack fgsm: expected {wanted}"
