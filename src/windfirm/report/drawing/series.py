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


def measured(series: tuple[Series, ...]) -> tuple[Series, ...]:
    """Each series with the points that can be drawn, from left to right. None is left out: looks go by position."""
    return tuple(
        replace(
            one,
            points=tuple(
                sorted(
                    (point for point in one.points if math.isfinite(point.x) and math.isfinite(point.y)),
                    key=lambda point: point.x,
                )
            ),
        )
        for one in series
    )
