"""Scores and a budget make a cut."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import ceil

from torch import Tensor

from windfirm.errors import CutError, InputError, expected
from windfirm.models.blueprint import Blueprint
from windfirm.models.shrink import Kept
from windfirm.own import number
from windfirm.prune.structure import Kind, Structure, kept_without

#: "global" compares the scores of all structures; "per-layer" takes the same share of each layer.
RANKINGS = ("global", "per-layer")

Unit = tuple[Structure, int]

#: What shares and floors count within: a filter group by its name, or the stage that a block belongs to.
Layer = tuple[Kind, object]

#: Which units a structure's are chosen among; None for all.
Pool = Callable[[Structure], Layer | None]


@dataclass(frozen=True)
class Cut:
    """Which units leave: ``removed`` holds ascending unit numbers for every structure that loses any."""

    removed: Mapping[Structure, tuple[int, ...]]

    @property
    def units(self) -> int:
        """How many units leave in all."""
        return sum(map(len, self.removed.values()))

    def kept(self) -> Kept:
        """What stays of every tensor that shrinks."""
        return kept_without(self.removed)

    def blueprint(self) -> Blueprint:
        """What turns the network into the smaller one, but for sizes that modules hold."""
        replaced = {path: word for s, units in self.removed.items() if units for path, word in s.replaced.items()}
        return Blueprint(self.kept(), {}, replaced)


def eligible(
    structures: Sequence[Structure], protect: Sequence[str] = (), kind: Kind = "filters"
) -> tuple[Structure, ...]:
    """The structures of one kind that can go and whose name matches none of the shell patterns in ``protect``."""
    free = (s for s in structures if s.frozen is None and s.kind == kind)
    return tuple(s for s in free if not any(fnmatchcase(s.name, p) for p in protect))


def layer(structure: Structure) -> Layer:
    """The layer of a structure: a filter group is one of its own, the blocks of one stage are one together."""
    return structure.kind, structure.name if structure.kind == "filters" else structure.stage


def select(
    structures: Sequence[Structure],
    scores: Mapping[Structure, Tensor],
    *,
    ratio: float,
    ranking: str = "global",
    floor: float = 0.1,
) -> Cut:
    """Remove the share ``ratio`` in [0, 1) of all scored units, lowest scores first.

    ``structures`` without scores stay whole. Of each filter group, and of the blocks of each stage, at least
    ``max(1, ceil(floor * n))`` stay, so a high ratio can remove less than asked; Cut.units tells. Raises InputError for
    a ratio, floor or ranking out of range, CutError for scores that do not fit.
    """
    wanted = "a number in [0, 1)"
    ratio = number("ratio", wanted, ratio)
    if not 0 <= ratio < 1:
        raise InputError(expected("ratio", wanted, f"{ratio:g}"))
    if strange := next((key for key in scores if not isinstance(key, Structure)), None):
        raise CutError(expected("scores", "structures as keys", repr(strange)))
    scored = {structure: scores[structure] for structure in structures if structure in scores}
    return share(departures(structures, scored, ranking=ranking, floor=floor), scored, ratio, ranking)


def share(order: Sequence[Unit], scores: Mapping[Structure, Tensor], ratio: float, ranking: str) -> Cut:
    """The first units of ``order``: ``round(ratio * n)`` of all n scored ones, or of the n of each layer."""
    pool, sizes = pools(ranking), Counter[Layer | None]()
    for structure in scores:
        sizes[pool(structure)] += structure.size
    return taken(order, {key: round(ratio * n) for key, n in sizes.items()}, pool)


def pools(ranking: str, first: Iterable[Structure] = ()) -> Pool:
    """Among which units a ``ranking`` chooses: all, or those of a layer.

    ``first``: the structures of the network before earlier cuts, whose layers count: the shape of a stage changes.
    """
    if ranking == "global":
        return lambda structure: None
    known = {(structure.kind, structure.name): structure for structure in first}
    return lambda structure: layer(known.get((structure.kind, structure.name), structure))


def taken(order: Sequence[Unit], most: Mapping[Layer | None, int], pool: Pool) -> Cut:
    """The first units of ``order``, of each pool no more than ``most`` says."""
    counts: Counter[Layer | None] = Counter()
    chosen: list[Unit] = []
    for structure, unit in order:
        key = pool(structure)
        if counts[key] < most.get(key, 0):
            counts[key] += 1
            chosen.append((structure, unit))
    return leaving(chosen)


def smallest(order: Sequence[Unit], fits: Callable[[Cut], bool], grain: int = 1) -> Cut | None:
    """The smallest cut, units leaving in this order, that ``fits``; None when even that of all units does not.

    Found by halving, so that about log2(len(order) / grain) cuts are asked about; to ``grain`` units.
    """
    if not fits(leaving(order)):
        return None
    low, high = 0, ceil(len(order) / grain)
    while low < high:
        middle = (low + high) // 2
        if fits(leaving(order[: middle * grain])):
            high = middle
        else:
            low = middle + 1
    return leaving(order[: low * grain])


def departures(
    structures: Sequence[Structure],
    scores: Mapping[Structure, Tensor],
    *,
    ranking: str,
    floor: float,
    first: Sequence[Structure] | None = None,
) -> list[Unit]:
    """All units that may leave, in the order in which they would: by score, or by rank within their layer.

    The floor counts from ``first``, the structures of the network before earlier cuts, by default ``structures``.
    """
    if ranking not in RANKINGS:
        raise InputError(expected("ranking", " or ".join(RANKINGS), ranking))
    floor = checked_floor(floor)
    least = _floors(structures, floor) | _floors(first or (), floor)
    layers: dict[Layer, list[Structure]] = defaultdict(list)
    for structure in structures:
        layers[layer(structure)].append(structure)
    keyed: list[tuple[float, Unit]] = []
    for members in layers.values():
        spare = sum(member.size for member in members) - max(least[m.kind, m.name] for m in members)
        units = sorted(_scored(members, scores), key=lambda entry: entry[0])
        for rank, (score, unit) in enumerate(units[: max(0, spare)]):
            keyed.append((score if ranking == "global" else (rank + 1) / len(units), unit))
    return [unit for _, unit in sorted(keyed, key=lambda entry: entry[0])]


def checked_floor(floor: float) -> float:
    """``floor`` as a float. Raises InputError unless it is a number in [0, 1]."""
    wanted = "a number in [0, 1]"
    floor = number("floor", wanted, floor)
    if not 0 <= floor <= 1:
        raise InputError(expected("floor", wanted, f"{floor:g}"))
    return floor


def leaving(units: Sequence[Unit]) -> Cut:
    """The cut with which these units leave."""
    removed: dict[Structure, list[int]] = defaultdict(list)
    for structure, unit in units:
        removed[structure].append(unit)
    return Cut({structure: tuple(sorted(numbers)) for structure, numbers in removed.items()})


def _floors(structures: Sequence[Structure], floor: float) -> dict[tuple[Kind, str], int]:
    """How many units stay at least of the layer of each structure, by the structure's kind and name."""
    sizes: Counter[Layer] = Counter()
    for structure in structures:
        sizes[layer(structure)] += structure.size
    # Rounded first: 0.07 * 100 is a little more than 7 in floating point.
    return {(s.kind, s.name): max(1, ceil(round(floor * sizes[layer(s)], 9))) for s in structures}


def _scored(members: Sequence[Structure], scores: Mapping[Structure, Tensor]) -> list[tuple[float, Unit]]:
    found: list[tuple[float, Unit]] = []
    for structure in members:
        score = scores.get(structure)
        if score is None:
            continue
        if score.shape != (structure.size,) or not bool(score.isfinite().all()):
            raise CutError(expected(structure.name, f"{structure.size} finite scores", score.tolist()))
        found += [(value, (structure, unit)) for unit, value in enumerate(score.tolist())]
    return found
