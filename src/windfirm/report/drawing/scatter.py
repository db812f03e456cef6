"""One value against another, a marker for each measurement; its area may tell a third."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite, sqrt

from windfirm.report.drawing.axis import Axis, fitted
from windfirm.report.drawing.look import Look, shown
from windfirm.report.drawing.plot import BELOW, LEFT, RIGHT, WIDTH, Plot, beside, numeral, standard, under, whisker
from windfirm.report.drawing.series import Point, Series
from windfirm.report.drawing.svg import LETTER, drawn, legend, mark, point, short, svg, text

#: The half width of a marker as it is, and how many times wider the largest may be.
HALF, LARGEST = 5, 2.6
#: Letters at most in a label, and its height.
LONGEST, LINE = 24, 14


@dataclass(frozen=True)
class Box:
    """A rectangle that is taken."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Whether the two share a place."""
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.bottom <= other.top or other.bottom <= self.top)


def scatter(series: Sequence[Series], *, x: Axis, y: str, label: str, area: str = "") -> str:
    """One ``<svg>``; empty without a point. ``area`` says what the sizes of the points are, where they have some.

    The scales fit the values. A point is labelled by its ``name``, or by that of its series where it is the only one,
    as long as there is room beside it; on a whisker where it is nowhere else.
    """
    known, own = shown(series)
    points = [point for one in known for point in one.points]
    if not points:
        return ""
    names, rows = legend(known, own, LEFT, RIGHT, mark, 12)
    up = fitted([value for point in points for value in (point.y, point.low, point.high)])
    plot = standard(fitted([point.x for point in points], 7), up, rows)
    largest = max((point.size for point in points if isfinite(point.size)), default=0)
    body = [*beside(plot, numeral(up), y), *under(plot, x.tick, x.label)]
    for one, look in zip(known, own, strict=True):
        body.append(drawn(one, list(_marks(one, look, plot, largest))))
    taken = [_box(plot, point, largest) for point in points]
    crossed = [_whisker(plot, point) for point in points if point.sure]
    for one in known:  # above all marks
        body.append(drawn(one, list(_labels(one, plot, largest, taken, crossed))))
    if area and largest:
        body.append(text(RIGHT, plot.top - 6, f"area: {area}", "end"))
    return svg(WIDTH, round(plot.bottom + BELOW), label, [*body, *names])


def _scale(point: Point, largest: float) -> float:
    """How many times wider than usual the marker is: its area follows the size."""
    return LARGEST * sqrt(point.size / largest) if largest and isfinite(point.size) else 1


def _box(plot: Plot, point: Point, largest: float) -> Box:
    half = HALF * _scale(point, largest)
    x, y = plot.x(point.x), plot.y(point.y)
    return Box(x - half, y - half, x + half, y + half)


def _whisker(plot: Plot, point: Point) -> Box:
    x = plot.x(point.x)
    return Box(x - 2, plot.y(point.high), x + 2, plot.y(point.low))


def _marks(series: Series, look: Look, plot: Plot, largest: float) -> Iterator[str]:
    for one in sorted(series.points, key=lambda point: -_scale(point, largest)):  # small ones above large ones
        x, y = plot.x(one.x), plot.y(one.y)
        if one.sure:
            yield whisker(look, x, plot.y(one.low), plot.y(one.high))
        yield point(look, x, y, one.said, _scale(one, largest))


def _labels(series: Series, plot: Plot, largest: float, taken: list[Box], crossed: Sequence[Box]) -> Iterator[str]:
    for one in series.points:
        name = short(one.name or (series.name if len(series.points) == 1 else ""), LONGEST)
        own = _box(plot, one, largest)
        if name and (room := _room(plot, own, name, [*taken, *crossed]) or _room(plot, own, name, taken)):
            taken.append(room)
            yield text(round(room.left, 1), round(room.bottom - 3, 1), name, more=' class="label"')


def _room(plot: Plot, own: Box, name: str, taken: Sequence[Box]) -> Box | None:
    """A free place for ``name`` beside, above or below a marker inside the plot."""
    width = LETTER * len(name) + 2
    x, y = (own.left + own.right) / 2, (own.top + own.bottom) / 2
    lefts = {"right": own.right + 4, "left": own.left - 4 - width, "middle": x - width / 2}
    tops = {"middle": y - LINE / 2, "above": own.top - LINE - 1, "below": own.bottom + 1}
    for across, up in product(lefts, tops):
        place = Box(lefts[across], tops[up], lefts[across] + width, tops[up] + LINE)
        inside = plot.left <= place.left and place.right <= plot.right
        if inside and plot.top <= place.top and place.bottom <= plot.bottom and not any(map(place.meets, taken)):
            return place
    return None
