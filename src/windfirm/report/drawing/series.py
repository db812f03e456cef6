"""What a figure shows: named series of points, each with its interval and with the words for it."""

import math
from dataclasses import dataclass, replace

from windfirm.evaluate.compare import Role


@dataclass(frozen=True)
class Point:
    """One measurement in the units of the axes, ``y`` inside its interval from ``low`` to ``high``.

    ``low`` and ``high`` are NaN where there is no interval; a point whose ``x`` or ``y`` is NaN is not drawn. ``said``
    is what hovering tells. Only :func:`~windfirm.report.drawing.scatter` reads ``size`` (0 or more, NaN: as the others
    without one), which the area of the marker follows, and ``name``, which stands beside it.
    """

    x: float
    y: float
    low: float
    high: float
    said: str
    size: float = math.nan
    name: str = ""

    @property
    def sure(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True)
class Series:
    """Points of one thing. ``role`` gives it the look of that network of a comparison."""

    name: str
    points: tuple[Point, ...]
    role: Role | None = None


def measured(series: Series) -> Series:
    """The same with the points that can be drawn, from left to right."""
    known = [point for point in series.points if math.isfinite(point.x) and math.isfinite(point.y)]
    return replace(series, points=tuple(sorted(known, key=lambda point: point.x)))
