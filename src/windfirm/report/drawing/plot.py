"""The rectangle that values are drawn in, and the axes around it."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from windfirm.report import words
from windfirm.report.drawing.axis import Scale, fitted
from windfirm.report.drawing.look import Look
from windfirm.report.drawing.series import Series
from windfirm.report.drawing.svg import ROW, text

#: Width of a figure and the edges of the plot inside it; the height of a plot, and the room below it.
WIDTH, LEFT, RIGHT, TOP, TALL, BELOW = 640, 52, 624, 40, 250, 50
#: Least distance between two labels under the axis.
ROOM = 30


@dataclass(frozen=True)
class Plot:
    """Edges in SVG units, and the scales across and up."""

    across: Scale
    up: Scale
    left: float = LEFT
    right: float = RIGHT
    top: float = TOP
    bottom: float = TOP + TALL

    def x(self, value: float) -> float:
        """Where ``value`` stands from left to right."""
        return self.left + (self.right - self.left) * self.across.at(value)

    def y(self, value: float) -> float:
        """Where ``value`` stands from the bottom to the top."""
        return self.bottom - (self.bottom - self.top) * self.up.at(value)

    @property
    def middle(self) -> tuple[float, float]:
        """The centre."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2


def standard(across: Scale, up: Scale, rows: int) -> Plot:
    """A plot of the usual size under a legend of so many rows."""
    top = TOP + ROW * (rows - 1)
    return Plot(across, up, top=top, bottom=top + TALL)


def fitting(series: Sequence[Series]) -> Scale:
    """A scale that fits the values, their intervals and zero."""
    points = [point for one in series for point in one.points]
    return fitted([0, *(value for point in points for value in (point.y, point.low, point.high))])


def under(plot: Plot, tick: Callable[[float], str], label: str) -> Iterator[str]:
    """The axis below the plot. Labels that crowd give way, from the left, but for the first."""
    last, scale = math.inf, plot.across
    for value in reversed(scale.ticks):  # from the right: the small values, which crowd, give way
        x = plot.x(value)
        yield f'<path class="tick" d="M{x:.1f},{plot.bottom:g}v5"/>'
        if value == scale.ticks[0] or min(last - x, x - plot.x(scale.ticks[0])) >= ROOM:
            yield text(round(x, 1), plot.bottom + 18, tick(value), "middle")
            last = x
    yield f'<path class="axis" d="M{plot.left:g},{plot.bottom:g}H{plot.right:g}"/>'
    yield text(plot.middle[0], plot.bottom + 42, label, "middle")


def across(plot: Plot) -> Iterator[str]:
    """Lines from the top to the bottom; that at zero is an axis."""
    for value in plot.across.ticks:
        kind = "grid" if value else "axis"
        yield f'<path class="{kind}" d="M{plot.x(value):.1f},{plot.top:g}V{plot.bottom:g}"/>'


def beside(plot: Plot, tick: Callable[[float], str], label: str) -> Iterator[str]:
    """The axis left of the plot, with its lines across it."""
    for value in plot.up.ticks:
        y = plot.y(value)
        yield f'<path class="grid" d="M{plot.left:g},{y:.1f}H{plot.right:g}"/>'
        yield text(plot.left - 8, round(y + 4, 1), tick(value), "end")
    x, y = 14, plot.middle[1]
    yield text(x, y, label, "middle", f' transform="rotate(-90 {x} {y:g})"')


def numeral(scale: Scale, *, signed: bool = False) -> Callable[[float], str]:
    """How the marked values of ``scale`` are written: all with the same decimals, with a sign for differences."""
    step = min((b - a for a, b in zip(scale.ticks, scale.ticks[1:], strict=False)), default=1)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    write = words.signed if signed else words.decimal
    return lambda value: "0" if value == 0 else write(value, digits)


def whisker(look: Look, x: float, low: float, high: float) -> str:
    """An interval as a line up and down with caps, in SVG units."""
    caps = f"M{x - 3:.1f},{low:.1f}h6M{x - 3:.1f},{high:.1f}h6"
    return f'<path class="whisker {look.css}" d="M{x:.1f},{low:.1f}V{high:.1f}{caps}"/>'
