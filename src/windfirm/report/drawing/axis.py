"""What an axis says, and where a value stands on it."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

#: More different values than these are not marked one by one.
MARKED = 9


@dataclass(frozen=True)
class Axis:
    """The axis of values: its ``label``, a value as a ``tick`` says it, and as a sentence does (``named``).

    ``bend`` turns values into places before they are spread evenly; it keeps their order.
    """

    label: str
    tick: Callable[[float], str]
    named: Callable[[float], str]
    bend: Callable[[float], float] = float


def _plain(value: float) -> str:
    return f"{value:,.6g}"


def _over_255(eps: float) -> str:
    return _plain(eps * 255)


#: The square root keeps zero and still opens up the small values.
EPS = Axis("eps in 1/255 (square-root scale)", _over_255, lambda eps: f"eps {_over_255(eps)}/255", math.sqrt)
#: The same for lengths in L2, whose unit is a pixel from black to white.
LENGTH = Axis("eps, a length in L2 (square-root scale)", _plain, lambda eps: f"eps {_plain(eps)}", math.sqrt)


def plain(what: str) -> Axis:
    """An even axis of ``what``."""
    return Axis(what, _plain, lambda value: f"{what} {_plain(value)}")


@dataclass(frozen=True)
class Scale:
    """The values from ``low`` to ``high``, those of them that are marked, and how they are bent."""

    low: float
    high: float
    ticks: Sequence[float]
    bend: Callable[[float], float] = float

    def at(self, value: float) -> float:
        """Where ``value`` stands: 0 at ``low``, 1 at ``high``."""
        low, high = self.bend(self.low), self.bend(self.high)
        return (self.bend(value) - low) / (high - low)


#: Accuracy in percent, all of it.
PERCENT = Scale(0, 100, (0, 20, 40, 60, 80, 100))


def spread(values: Sequence[float], axis: Axis) -> Scale:
    """From the first to the last of ``values``, at least two and sorted. Few are marked one by one, many by round ones.

    A bent axis keeps its values: round numbers crowd on it.
    """
    low, high = values[0], values[-1]
    each = len(values) <= MARKED or axis.bend is not float
    return Scale(
        low, high, values if each else [tick for tick in steps(low, high, 8) if low <= tick <= high], axis.bend
    )


def fitted(values: Iterable[float], about: int = 5) -> Scale:
    """Round numbers around the finite ``values``, about so many of them; with none, from 0 to 1."""
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if high - low < 1e-9 * max(abs(low), abs(high), 1):
        low, high = low - 1, high + 1
    ticks = steps(low, high, about)
    return Scale(ticks[0], ticks[-1], ticks)


def steps(low: float, high: float, about: int) -> list[float]:
    """The multiples of 1, 2 or 5 times a power of ten from one at or below ``low`` to one at or above ``high``."""
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]
