"""Whether the images speak with one voice: what would leave by one half of them, and what by the other."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from windfirm.prune.criteria.base import Scores
from windfirm.prune.select import Unit
from windfirm.prune.structure import Structure


@dataclass(frozen=True)
class Stability:
    """Two disjoint halves of the images agree on ``agree`` of the ``of`` units that leave."""

    agree: int
    of: int


def stability(
    halves: tuple[Scores, Scores],
    structures: Collection[Structure],
    units: int,
    order: Callable[[Scores], Sequence[Unit]],
) -> Stability | None:
    """How many of the first ``units`` to leave by the scores of each half of the images are the same.

    ``order`` gives all units in the order in which they would leave; ``structures`` are those that count. None when
    nothing leaves.
    """
    one, other = (set(order({s: half[s] for s in half if s in structures})[:units]) for half in halves)
    return Stability(len(one & other), units) if units else None
