"""What the places of a study's table are called, and in which order they stand."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeGuard

from windfirm.attack.budget import show_eps
from windfirm.attack.registry import ATTACKS
from windfirm.evaluate.outcome import Outcome
from windfirm.report.poster import NONE, Form, Point


def columns(outcomes: Sequence[Outcome], points: Sequence[Hashable]) -> list[str]:
    """The name of each outcome's column: the attack's, with as much of eps, options and images as tells it apart.

    ``points``: the point of the grid of each. What tells two outcomes of one point apart is in the name of their
    columns everywhere; what differs from point to point alone, such as the number of images, is not.
    """
    names = [outcome.attack for outcome in outcomes]
    more = (
        ["" if o.eps is None else f" {strength(o)}" for o in outcomes],
        [f" ({o.title})" for o in outcomes],
        [f" on {len(o.correct):,} images" for o in outcomes],
    )
    for parts in more:
        several: dict[tuple[str, Hashable], set[str]] = {}
        for name, point, part in zip(names, points, parts, strict=True):
            several.setdefault((name, point), set()).add(part)
        unclear = {name for (name, _), found in several.items() if len(found) > 1}
        names = [name + (part if name in unclear else "") for name, part in zip(names, parts, strict=True)]
    return names


def strength(outcome: Outcome) -> str:
    """The eps of an attack as its column has it: ``8/255``, in L2 ``127.5/255 L2``."""
    return show_eps(outcome.eps or 0.0) + (" L2" if outcome.in_l2 else "")


def varying(points: Sequence[Point]) -> list[str]:
    """The axes on which the points differ: those of words in order, then those of numbers."""
    axes = dict.fromkeys(axis for point in points for axis in point)
    differing = [axis for axis in axes if len({repr(point.get(axis)) for point in points}) > 1]
    return sorted(differing, key=lambda axis: any(_is_number(point.get(axis)) for point in points))


def label(point: Point, axes: Sequence[str], *, whole: bool = False) -> str:
    """``filters, rounds 3``: words as they are, numbers with what they are numbers of.

    With ``whole``, ``prune.structure filters, prune.rounds 3``.
    """
    names = {axis: axis if whole else axis.rpartition(".")[2] for axis in axes}
    does = {axis: point[axis] for axis in axes if point.get(axis) not in (None, NONE)}
    return ", ".join(
        f"{names[axis]} {said(value)}" if whole or _is_number(value) else said(value) for axis, value in does.items()
    )


def labels(points: Sequence[Point], axes: Sequence[str], form: Form | None) -> list[str]:
    """What the line of each of the ``points`` is called, with as much as tells it from the others.

    ``form``: the poster's table that this is, if any, whose rows have names of their own.
    """
    if form is None:
        short = [label(point, axes) for point in points]
        ends = [axis.rpartition(".")[2] for axis in axes]
        clear = len(set(short)) == len(short) and len(set(ends)) == len(ends)
        return short if clear else [label(point, axes, whole=True) for point in points]
    rows = [form.row_of(point) for point in points]
    inside = {row: varying([point for point, own in zip(points, rows, strict=True) if own == row]) for row in rows}
    more = [label(point, inside[row]) for point, row in zip(points, rows, strict=True)]
    return [", ".join(filter(None, (form.label(row), rest))) for row, rest in zip(rows, more, strict=True)]


def in_order(points: Sequence[Point], axes: Sequence[str]) -> list[int]:
    """The numbers of the points by these axes: words as they come, numbers by size."""
    words = {axis: list(dict.fromkeys(repr(point.get(axis)) for point in points)) for axis in axes}

    def place(number: int) -> list[float]:
        values = [(axis, points[number].get(axis)) for axis in axes]
        return [float(value) if _is_number(value) else words[axis].index(repr(value)) for axis, value in values]

    return sorted(range(len(points)), key=place)


def order(column: str, attacks: Mapping[str, tuple[str, float]], form: Form | None) -> tuple[int, int, float, str]:
    """The columns of the form, then the attacks as the registry has them, then clean and average."""
    own = tuple(form.columns) if form else ()
    if column in own:
        return 0, own.index(column), 0.0, ""
    last = ("clean", "average")
    if column in last:
        return 2, last.index(column), 0.0, ""
    attack, eps = attacks.get(column, (column, 0.0))
    known = tuple(ATTACKS)
    return 1, known.index(attack) if attack in known else len(known), eps, column


def said(value: Any) -> str:
    """A value on an axis as a label has it."""
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
