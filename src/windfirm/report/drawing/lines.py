"""Values against one number: a line with its band or its intervals for each series."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from windfirm.report.drawing.axis import PERCENT, Axis, spread
from windfirm.report.drawing.look import Look, shown
from windfirm.report.drawing.plot import (
    BELOW,
    LEFT,
    RIGHT,
    WIDTH,
    Plot,
    beside,
    fitting,
    numeral,
    standard,
    under,
    whisker,
)
from windfirm.report.drawing.series import Point, Series
from windfirm.report.drawing.svg import drawn, legend, point, stroke, svg


def lines(series: Sequence[Series], *, x: Axis, y: str, label: str, zero: bool = False, band: bool = True) -> str:
    """One ``<svg>`` of all series; empty without two different values of ``x``.

    Values are percentages, on a scale from 0 to 100; with ``zero`` they are differences in percentage points, on a
    scale that fits them and zero. ``y`` is the label of that scale, ``label`` says what the figure is. Intervals are
    bands, or lines with caps where ``band`` is false.
    """
    known, own = shown(series)
    every = sorted({point.x for one in known for point in one.points})
    if len(every) < 2:
        return ""
    names, rows = legend(known, own, LEFT, RIGHT)
    up = fitting(known) if zero else PERCENT
    plot = standard(spread(every, x), up, rows)
    pairs = list(zip(known, own, strict=True))
    body = [*beside(plot, numeral(up, signed=zero), y), *under(plot, x.tick, x.label)]
    if zero:
        body.append(f'<path class="axis" d="M{plot.left:g},{plot.y(0):.1f}H{plot.right:g}"/>')
    intervals = _bands if band else _whiskers
    body += [drawn(one, list(intervals(one.points, look, plot))) for one, look in pairs]
    body += [drawn(one, list(_line(one.points, look, plot))) for one, look in pairs]
    return svg(WIDTH, round(plot.bottom + BELOW), label, [part for part in (*body, *names) if part])


def _bands(points: Sequence[Point], look: Look, plot: Plot) -> Iterator[str]:
    """The intervals of neighbours that have one."""
    for sure, run in groupby(points, key=lambda point: point.sure):
        if sure:
            places = [(plot.x(point.x), plot.y(point.low), plot.y(point.high)) for point in run]
            upper = [f"{x:.1f},{high:.1f}" for x, _, high in places]
            lower = [f"{x:.1f},{low:.1f}" for x, low, _ in reversed(places)]
            yield f'<path class="band {look.css}" d="M{"L".join(upper + lower)}z"/>'


def _whiskers(points: Sequence[Point], look: Look, plot: Plot) -> Iterator[str]:
    for one in points:
        if one.sure:
            yield whisker(look, plot.x(one.x), plot.y(one.low), plot.y(one.high))


def _line(points: Sequence[Point], look: Look, plot: Plot) -> Iterator[str]:
    places = [(plot.x(one.x), plot.y(one.y)) for one in points]
    yield stroke(look, "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in places))
    for (x, y), one in zip(places, points, strict=True):
        yield point(look, x, y, one.said)
