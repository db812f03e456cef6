"""Values of many groups, one row for each series in each: bars from zero with their intervals, names at the left."""

from collections.abc import Iterator, Sequence
from math import isfinite

from windfirm.report.drawing.axis import PERCENT, Scale
from windfirm.report.drawing.look import Look, looks
from windfirm.report.drawing.plot import BELOW, RIGHT, TOP, WIDTH, Plot, across, fitting, numeral, under
from windfirm.report.drawing.series import Series
from windfirm.report.drawing.svg import LETTER, ROW, drawn, legend, mark, point, short, svg, text

#: Height of a bar, distance from one to the next, and from one group to the next.
BAR, PITCH, GAP = 6, 11, 9
#: Letters at most in the name of a group.
LONGEST = 24


def bars(
    groups: Sequence[str], series: Sequence[Series], *, label: str, y: str = "accuracy, %", zero: bool = False
) -> str:
    """One ``<svg>``; empty without a value. ``points[i]`` of a series belongs to ``groups[i]``; its ``x`` is not read.

    A value that is NaN was not measured and leaves its place empty. ``y`` and ``zero`` are those of
    :func:`~windfirm.report.drawing.lines`. Raises ValueError for a series that has not one point a group.
    """
    if not any(isfinite(point.y) for one in series for point in one.points):
        return ""
    own = looks(series)
    left = 12 + LETTER * max(len(short(name, LONGEST)) for name in groups)
    names, rows = legend(series, own, 8, RIGHT, _sample)
    top, tall = TOP + ROW * (rows - 1), PITCH * len(series) + GAP
    scale = fitting(series) if zero else PERCENT
    plot = Plot(scale, Scale(0, 1, ()), left, RIGHT, top, top + tall * len(groups))
    body = [*across(plot), *under(plot, numeral(scale, signed=zero), y)]
    middles = [top + tall * (number + 0.5) for number in range(len(groups))]
    for name, middle in zip(groups, middles, strict=True):
        body.append(text(left - 8, round(middle + 4, 1), short(name, LONGEST), "end"))
    for place, (one, look) in enumerate(zip(series, own, strict=True)):
        shift = PITCH * (place - (len(series) - 1) / 2)
        body.append(drawn(one, list(_bars(one, look, plot, [middle + shift for middle in middles]))))
    return svg(WIDTH, round(plot.bottom + BELOW), label, [part for part in (*body, *names) if part])


def _bars(series: Series, look: Look, plot: Plot, places: Sequence[float]) -> Iterator[str]:
    origin = plot.x(0)
    for one, y in zip(series.points, places, strict=True):
        if not isfinite(one.y):
            continue
        end = plot.x(one.y)
        yield (
            f'<rect class="bar {look.css}" x="{min(origin, end):.1f}" y="{y - BAR / 2:.1f}" '
            f'width="{abs(end - origin):.1f}" height="{BAR}"/>'
        )
        if one.sure:
            yield f'<path class="whisker {look.css}" d="M{plot.x(one.low):.1f},{y:.1f}H{plot.x(one.high):.1f}"/>'
        yield point(look, end, y, one.said, 0.8)


def _sample(look: Look) -> str:
    bar = f'<rect class="bar {look.css}" x="-18" y="{-BAR / 2:g}" width="32" height="{BAR}"/>'
    return f'{bar}<g transform="translate(14 0)">{mark(look, 0.8)}</g>'
