"""Accuracy against one number for the networks of a comparison."""

from collections.abc import Mapping, Sequence

from windfirm.evaluate.compare import Role
from windfirm.evaluate.intervals import interval
from windfirm.evaluate.outcome import Outcome
from windfirm.report import words
from windfirm.report.drawing import Axis, Point, Series, lines
from windfirm.report.drawing.look import ROLES


def chart(networks: Mapping[Role, Sequence[tuple[float, Outcome]]], axis: Axis, label: str) -> str:
    """Every network's outcomes, with 95 % bands, as one ``<svg>``; empty without two values."""
    roles = [role for role in ROLES if networks.get(role)]
    series = [Series(words.prime(role), tuple(_points(role, networks[role], axis)), role) for role in roles]
    return lines(series, x=axis, y="accuracy, %", label=label)


def _points(role: Role, outcomes: Sequence[tuple[float, Outcome]], axis: Axis) -> list[Point]:
    points = []
    for value, outcome in outcomes:
        low, high = (100 * bound for bound in interval(outcome))
        numbers = f"{words.decimal(100 * outcome.accuracy)} % (95 %: {words.decimal(low)} to {words.decimal(high)})"
        said = f"{words.prime(role)} at {axis.named(value)}: {numbers}"
        points.append(Point(value, 100 * outcome.accuracy, low, high, said))
    return points
