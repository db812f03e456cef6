"""Scores and a budget make a cut."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import ceil

from torch import Tensor

from windfirm.errors import CutError, InputError, expected
from windfirm.models.blueprint import Blueprint
from windfirm.models.shrink import Kept
from windfirm.prune.structure import Anatomy, Kind, Structure, kept_without

#: "global" compares the scores of all structures; "per-layer" takes the same share of each.
RANKINGS = ("global", "per-layer")

Unit = tuple[Structure, int]


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


def select(
    structures: Sequence[Structure],
    scores: Mapping[Structure, Tensor],
    *,
    ratio: float,
    ranking: str = "global",
    floor: float = 0.1,
) -> Cut:
    """Remove the share ``ratio`` in [0, 1) of all scored units, lowest scores first.

    ``structures`` without scores stay whole. Of each structure at least ``max(1, ceil(floor * size))`` units stay, so
    a high ratio can remove less than asked; Cut.units tells. Raises InputError for a ratio, floor or ranking out of
    range.
    """
    if not 0 <= ratio < 1:
        raise InputError(expected("ratio", "a number in [0, 1)", f"{ratio:g}"))
    order = departures(structures, scores, ranking=ranking, floor=floor)
    if ranking == "global":
        return _cut(order[: round(ratio * sum(len(scores[s]) for s in structures if s in scores))])
    counts: dict[Structure, int] = defaultdict(int)
    leaving: list[Unit] = []
    for structure, unit in order:
        if counts[structure] < round(ratio * structure.size):
            counts[structure] += 1
            leaving.append((structure, unit))
    return _cut(leaving)


def select_macs(
    anatomy: Anatomy,
    scores: Mapping[Structure, Tensor],
    *,
    macs: int,
    ranking: str = "global",
    floor: float = 0.1,
) -> Cut:
    """The smallest cut, lowest scores first, that leaves at most ``macs`` multiply-adds an image.

    Raises CutError when even the largest cut that ``floor`` allows leaves more.
    """
    order = departures(anatomy.structures, scores, ranking=ranking, floor=floor)
    least = anatomy.macs(_cut(order).removed)
    if least > macs:
        raise CutError(
            expected("MACs", f"a target that can be reached, at least {least:,} with a floor of {floor:g}", f"{macs:,}")
        )
    low, high = 0, len(order)
    while low < high:
        middle = (low + high) // 2
        if anatomy.macs(_cut(order[:middle]).removed) <= macs:
            high = middle
        else:
            low = middle + 1
    return _cut(order[:low])


def departures(
    structures: Sequence[Structure], scores: Mapping[Structure, Tensor], *, ranking: str, floor: float
) -> list[Unit]:
    """All units that may leave, in the order in which they would: by score, or by rank within their structure."""
    if ranking not in RANKINGS:
        raise InputError(expected("ranking", " or ".join(RANKINGS), ranking))
    if not 0 <= floor <= 1:
        raise InputError(expected("floor", "a number in [0, 1]", f"{floor:g}"))
    keyed: list[tuple[float, Unit]] = []
    for structure in structures:
        if structure not in scores:
            continue
        score = scores[structure]
        if score.shape != (structure.size,) or not bool(score.isfinite().all()):
            raise CutError(expected(structure.name, f"{structure.size} finite scores", score.tolist()))
        spare = structure.size - max(1, ceil(round(floor * structure.size, 9)))
        for rank, unit in enumerate(score.argsort(stable=True).tolist()[:spare]):
            key = float(score[unit]) if ranking == "global" else (rank + 1) / structure.size
            keyed.append((key, (structure, unit)))
    return [unit for _, unit in sorted(keyed, key=lambda entry: entry[0])]


def _cut(units: Sequence[Unit]) -> Cut:
    removed: dict[Structure, list[int]] = defaultdict(list)
    for structure, unit in units:
        removed[structure].append(unit)
    return Cut({structure: tuple(sorted(numbers)) for structure, numbers in removed.items()})
