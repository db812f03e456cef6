"""How a study was made, as far as its rows tell: the attacks, the settings, the time."""

from collections.abc import Iterable, Sequence
from typing import Any

from windfirm.attack.budget import show_eps
from windfirm.evaluate.outcome import Outcome
from windfirm.report import naming, words
from windfirm.study.listing import Measured


def methods(outcomes: Iterable[Outcome]) -> tuple[tuple[str, str], ...]:
    """Each attack, and how it was made: its title with every eps that it had, and on how many images."""
    found: dict[tuple[str, str], tuple[dict[str, None], set[int]]] = {}
    for outcome in outcomes:
        sizes, images = found.setdefault((outcome.attack, outcome.title), ({}, set()))
        if outcome.eps is not None:
            sizes[show_eps(outcome.eps)] = None
        images.add(len(outcome.correct))
    listed = sorted(found.items(), key=lambda entry: naming.order(entry[0][0], {}, None))
    return tuple(
        (
            attack,
            f"{title}{f', eps {words.listing([*sizes])}' if sizes else ''}, on "
            f"{words.listing([f'{count:,}' for count in sorted(images)])} image{'' if images == {1} else 's'}",
        )
        for (attack, title), (sizes, images) in listed
    )


def time(rows: Sequence[Measured]) -> str:
    """How long it took, in words, as far as it was noted."""
    spent: dict[int, float] = {}
    for row in rows:
        if row.spent is not None:
            spent[row.seed] = max(row.spent, spent.get(row.seed, 0.0))
    if len(spent) == len({row.seed for row in rows}):
        return f"{words.duration(sum(spent.values()))}, all cells one after another"
    attacks = sum({row.cell: row.seconds or 0.0 for row in rows}.values())
    alone = "the attacks alone, one after another; not what trained and pruned the networks"
    return f"{words.duration(attacks)}, {alone}" if attacks else ""


def settings(rows: Sequence[Measured]) -> dict[str, Any]:
    """What was set alike at all points, except on the axes of the grid."""
    first = rows[0].settings
    axes = {axis for row in rows for axis in row.point}
    return {
        name: value
        for name, value in first.items()
        if name not in axes and all(row.settings.get(name) == value for row in rows)
    }


def one_f(rows: Sequence[Measured]) -> bool:
    """Whether there are several seeds, and at each point F is the same network with all of them."""
    found: dict[str, set[str | None]] = {}
    for row in rows:
        if row.role == "F":
            found.setdefault(repr(sorted(row.point.items())), set()).add(row.network)
    several = len({row.seed for row in rows}) > 1
    return several and bool(found) and all(len(networks) == 1 and None not in networks for networks in found.values())
