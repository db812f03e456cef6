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
#: How near a label may come to the marker of another point, and how far it may stand from its own: then a line leads.
APART, FAR = 5, (16, 32, 48)
#: Room left and right of the outermost points, as a share of what is between them.
MARGIN = 0.04


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

    def grown(self, by: float) -> "Box":
        """The same with so much more on every side."""
        return Box(self.left - by, self.top - by, self.right + by, self.bottom + by)

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """The place in it that is nearest to another."""
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)


def scatter(series: Sequence[Series], *, x: Axis, y: str, label: str, area: str = "") -> str:
    """One ``<svg>``; empty without a point. ``area`` says what the sizes of the points are, where they have some.

    The scales fit the values. A point is labelled by its ``name``, or by that of its series where it is the only one,
    as long as there is room beside it, or farther off at the end of a line; on a whisker where it is nowhere else.
    """
    known, own = shown(series)
    points = [point for one in known for point in one.points]
    if not points:
        return ""
    names, rows = legend(known, own, LEFT, RIGHT, mark, 12)
    up = fitted([value for point in points for value in (point.y, point.low, point.high)])
    across = [point.x for point in points]
    room = MARGIN * (max(across) - min(across))
    plot = standard(fitted([min(across) - room, max(across) + room], 7), up, rows)
    largest = max((point.size for point in points if isfinite(point.size)), default=0)
    body = [*beside(plot, numeral(up), y), *under(plot, x.tick, x.label)]
    for one, look in zip(known, own, strict=True):
        body.append(drawn(one, list(_marks(one, look, plot, largest))))
    marks, taken = [_box(plot, point, largest) for point in points], list[Box]()
    crossed = [_whisker(plot, point) for point in points if point.sure]
    for one in known:  # above all marks
        body.append(drawn(one, list(_labels(one, plot, largest, marks, taken, crossed))))
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


def _labels(
    series: Series, plot: Plot, largest: float, marks: Sequence[Box], taken: list[Box], crossed: Sequence[Box]
) -> Iterator[str]:
    for one in series.points:
        name = short(one.name or (series.name if len(series.points) == 1 else ""), LONGEST)
        own = _box(plot, one, largest)
        filled = [box if box == own else box.grown(APART) for box in marks]
        if name and (room := _room(plot, own, name, [*filled, *taken], crossed)):
            taken.append(room)
            yield from _leader(plot.x(one.x), plot.y(one.y), own, room)
            yield text(round(room.left, 1), round(room.bottom - 3, 1), name, more=' class="label"')


def _leader(x: float, y: float, own: Box, room: Box) -> Iterator[str]:
    """The line from a marker at (``x``, ``y``) to a label that does not stand beside it."""
    end = room.nearest(x, y)
    start = own.nearest(*end)
    if abs(end[0] - start[0]) + abs(end[1] - start[1]) > 2 * APART:
        yield f'<path class="leader" d="M{start[0]:.1f},{start[1]:.1f}L{end[0]:.1f},{end[1]:.1f}"/>'


def _room(plot: Plot, own: Box, name: str, taken: Sequence[Box], crossed: Sequence[Box]) -> Box | None:
    """A free place for ``name`` beside, above or below a marker inside the plot; else farther off; else on whiskers."""
    width = LETTER * len(name) + 2
    free_of_all = [*taken, *crossed]
    for far, full in [*((far, free_of_all) for far in (0, *FAR)), (0, taken)]:
        for place in _around(own, width, far):
            inside = plot.left <= place.left and place.right <= plot.right
            if inside and plot.top <= place.top and place.bottom <= plot.bottom and not any(map(place.meets, full)):
                return place
    return None


def _around(own: Box, width: float, far: float) -> Iterator[Box]:
    """Places of a label around a marker, ``far`` from where it would stand beside it."""
    x, y = (own.left + own.right) / 2, (own.top + own.bottom) / 2
    lefts = {"right": own.right + 4 + far, "left": own.left - 4 - far - width, "middle": x - width / 2}
    tops = {"middle": y - LINE / 2, "above": own.top - LINE - 1 - far, "below": own.bottom + 1 + far}
    for across, up in product(lefts, tops):
        yield Box(lefts[across], tops[up], lefts[across] + width, tops[up] + LINE)
