"""From a plan to the graph of its cells: F, pruning round by round, adjusting, the control, attacks on all three.

    open or train ──► prune 1 ──► adjust 1 ──► … ──► prune n ──► adjust n ──► attack    F'
          ├──────────────────────► adjust 1 ──► … ───────────────► adjust n ──► attack    control
          └──► attack                                                                     F

Settings that a cell does not use are not in it, so that cells are shared as far as can be: F by all that start from it,
the control by all criteria and ratios.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windfirm.adjust.adjustments import ADJUSTMENTS, describe, due
from windfirm.adjust.objective import PLAIN
from windfirm.defend.registry import defence, kinds
from windfirm.errors import InputError, expected
from windfirm.models.factory import from_spec
from windfirm.models.intake import Intake
from windfirm.models.source import INITIAL, MODEL, shipped
from windfirm.prune.both import COMPARING
from windfirm.prune.budget import BUDGETS, Budget, budget
from windfirm.prune.criteria import CRITERIA, named
from windfirm.study.cell import Cell
from windfirm.study.measurements import Measurement
from windfirm.study.plan import Plan, Point
from windfirm.study.settings import NONE, has_colon
from windfirm.study.store import Place
from windfirm.study.work import digest

Settings = Mapping[str, Any]


@dataclass
class Graph:
    """Cells by key, each behind its inputs, and the places of the measurements among them."""

    cells: dict[str, Cell] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)

    def add(self, kind: str, settings: Settings, **inputs: Cell | None) -> Cell:
        """The cell with these settings, the one that is there or a new one."""
        cell = Cell(kind, settings, {role: made.key for role, made in inputs.items() if made is not None})
        return self.cells.setdefault(cell.key, cell)


def expand(plan: Plan) -> Graph:
    """All cells of ``plan``. Raises InputError for settings that cannot be used together, naming the point."""
    graph = Graph()
    roles: set[str] = set()
    for point in plan.points:
        try:
            _check(point.settings)
            for seed in plan.seeds:
                roles |= _expand(graph, point, seed, plan.measurements)
        except InputError as error:
            where = ", ".join(f"{axis} {value}" for axis, value in point.axes.items())
            raise InputError(f"{plan.name}{f' at {where}' if where else ''}: {error}") from error
    made = {entry.attack for entry in plan.measurements if entry.source is None or entry.source in roles}
    for entry in plan.measurements:
        if entry.attack not in made:
            wanted = f"images from one of its networks, {', '.join(sorted(roles))}"
            raise InputError(expected(f"{plan.name}: attack {entry.attack}", wanted, entry.source))
    return graph


def _expand(graph: Graph, point: Point, seed: int, measurements: tuple[Measurement, ...]) -> set[str]:
    """Add what is done at one point with one seed; the roles of the networks there."""
    s = point.settings
    f = _original(graph, s, seed, s["train.defence"], s["train.eps"])
    networks = {"F": f}
    pruned = s["prune.structure"] != NONE
    rounds = s["prune.rounds"] if pruned else 1
    adjusted = s["adjust.name"] != NONE
    start = f if s["defend.name"] == NONE else _original(graph, s, seed, s["defend.name"], s["defend.eps"])
    network = control = start
    for number in range(1, rounds + 1):
        if pruned:
            network = _pruned(graph, s, seed, number, network, start)
        if adjusted and due(s["adjust.name"], number, rounds):
            network = _adjusted(graph, s, seed, number, network, start)
            control = _adjusted(graph, s, seed, number, control, start)
    if network != f:
        networks["F'"] = network
    if s["control"] and pruned and control != start:
        networks["control"] = control
    for role, measured in networks.items():
        for entry in measurements:
            if entry.source is not None and entry.source not in networks:
                continue
            data = _data(s, "test")
            if entry.images is not None:
                data["images"] = min(entry.images, data["images"] or entry.images)
            settings = {
                "attack": entry.attack,
                "options": entry.options,
                "seed": seed,
                "data": data,
                **({} if entry.eps is None else {"eps": entry.eps}),
                **({} if entry.source is None else {"from": entry.source}),
            }
            source = None if entry.source is None else networks[entry.source]
            cell = graph.add("attack", settings | _factory(s), network=measured, source=source)
            graph.places.append(Place(cell.key, role, point.axes, seed))
    return {*networks}


def _original(graph: Graph, s: Settings, seed: int, name: str, eps: float) -> Cell:
    """F, trained or opened; or the network that is trained with a defence in its place."""
    arch = s["network.arch"]
    if s["network.weights"] != "train":
        files = zip((MODEL, INITIAL), weights(arch, s["network.weights"]), strict=True)
        digests = {name: digest(path) for name, path in files if path is not None}
        settings = {"arch": arch, "weights": s["network.weights"], "data": s["data.name"], **digests}
        return graph.add("open", settings | _intake(s))
    recipe = {key: s[f"train.{key}"] for key in ("epochs", "lr", "batch", "schedule", "weight-decay")}
    settings = {"arch": arch, "recipe": recipe, "defence": _defence(name, eps), "seed": seed, "data": _data(s, "train")}
    return graph.add("train", settings | _intake(s))


def _pruned(graph: Graph, s: Settings, seed: int, number: int, network: Cell, first: Cell) -> Cell:
    asked = _budget(s)
    both = s["prune.structure"] == "both"
    looks = s["prune.criterion"] not in CRITERIA or CRITERIA[s["prune.criterion"]].data
    looks = looks or (both and s["prune.choose"] in COMPARING)
    data = _data(s, "train")
    if s["prune.images"] is not None:
        data["images"] = min(s["prune.images"], data["images"] or s["prune.images"])
    settings = {
        "structure": s["prune.structure"],
        "criterion": s["prune.criterion"],
        "budget": asked.name,
        "share": asked.share,
        "round": number,
        "rounds": None if asked.name == "rate" else s["prune.rounds"],  # a rate is the same however many follow
        "ranking": s["prune.ranking"],
        "floor": s["prune.floor"],
        "protect": s["prune.protect"],
        "choose": s["prune.choose"] if both else None,
        "plain": s["prune.plain-layers"],
        "seed": seed,
        "data": data if looks else data | {"images": 1},
    }
    return graph.add("prune", settings | _factory(s), network=network, first=first)


def _adjusted(graph: Graph, s: Settings, seed: int, number: int, network: Cell, first: Cell) -> Cell:
    name = s["adjust.name"]
    if network == first:
        name = ADJUSTMENTS[name].uncut or name
    settings = {
        "name": name,
        "epochs": s["adjust.epochs"],
        "lr": s["adjust.lr"],
        "defence": _defence(s["adjust.defence"], s["adjust.eps"]),
        "round": number,
        "seed": seed,
        "data": _data(s, "train"),
    }
    given = dict.fromkeys(ADJUSTMENTS[name].needs, first)
    return graph.add("adjust", settings | _factory(s), network=network, **given)


def _data(s: Settings, split: str) -> dict[str, Any]:
    resize = {"resize": s["data.resize"]} if s["data.resize"] != "crop" else {}
    return {"name": s["data.name"], "images": s[f"data.{split}"], **resize}


def _intake(s: Settings) -> dict[str, Any]:
    """How the network is fed, as far as the study says; see models.intake."""
    told = {part: s[f"network.{name}"] for part, name in (("shape", "input"), ("mean", "mean"), ("std", "std"))}
    return {"intake": told} if any(told.values()) else {}


def _factory(s: Settings) -> dict[str, str]:
    """What makes the network, where that is a function of the user's own: files do not say so."""
    return {"factory": s["network.arch"]} if ":" in s["network.arch"] else {}


def _defence(name: str, eps: float) -> dict[str, Any] | None:
    if name == NONE:
        return None
    return {"name": name, **({"eps": eps} if "eps" in kinds(name) else {})}


def _budget(s: Settings) -> Budget:
    return budget(**{name: s[f"prune.{name}"] for name in BUDGETS})


def weights(arch: str, where: str) -> tuple[Path, Path | None]:
    """The files of trained weights and of those as before training, None where there are none.

    ``where`` is ``shipped``, a file or the folder of a run. Raises InputError when there are no trained weights.
    """
    if where == "shipped":
        trained, initial = shipped(arch), shipped(arch, initial=True)
        if trained is None:
            raise InputError(expected("network.weights", f"train, as the package has none of {arch}", where))
        return trained, initial
    path = Path(where)
    path = path / MODEL if path.is_dir() else path
    if not path.is_file():
        raise InputError(expected("network.weights", "train, shipped or a file that is there", where))
    beside = path.parent / INITIAL
    return path, beside if beside.is_file() else None


def _check(s: Settings) -> None:
    """Raise InputError for settings that cannot be used together, and for names of the user's own that lead nowhere."""
    adjusted, pruned = s["adjust.name"] != NONE, s["prune.structure"] != NONE
    if has_colon(s["network.arch"]):
        from_spec(s["network.arch"])
    try:
        Intake.from_json(_intake(s).get("intake", {}))
    except InputError as error:
        raise InputError(f"network: {str(error).partition(': ')[2]}") from error
    if pruned:
        _budget(s)
        named(s["prune.criterion"])
    if adjusted:
        objective = PLAIN if s["adjust.defence"] == NONE else defence(s["adjust.defence"])
        describe(s["adjust.name"], epochs=s["adjust.epochs"], lr=s["adjust.lr"], objective=objective)
    elif s["adjust.defence"] != NONE:
        raise InputError(expected("adjust.defence", "an adjust.name that trains with it", NONE))
    if s["network.weights"] == "train":
        return
    if s["defend.name"] != NONE or s["train.defence"] != NONE:
        wanted = "train, so that F is trained as the network with the defence is"
        raise InputError(expected("network.weights", wanted, s["network.weights"]))
    _, initial = weights(s["network.arch"], s["network.weights"])
    if adjusted and "initial" in ADJUSTMENTS[s["adjust.name"]].needs and initial is None:
        wanted = f"weights as before training, which {s['adjust.name']} starts from"
        raise InputError(expected("network.weights", wanted, f"no {INITIAL} beside {s['network.weights']}"))
