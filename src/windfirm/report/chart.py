"""Accuracy against one number as hand-made SVG: a line, a band and markers for each network.

Colours come from the page's style sheet by class, so that both themes and print share one drawing. A network is told by
its marker and its dashes as well as by its colour.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from windfirm.evaluate.compare import Role
from windfirm.evaluate.intervals import interval
from windfirm.evaluate.outcome import Outcome
from windfirm.report import words

#: The drawing in SVG units: the whole, and the edges of the plot inside it.
WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 52, 624, 40, 290
#: Least distance between two labels under the axis.
ROOM = 30


@dataclass(frozen=True)
class Look:
    """How a network is drawn: its CSS class, its dashes, and its marker as an SVG path about the origin."""

    css: str
    dashes: str
    marker: str


LOOKS: Mapping[Role, Look] = {
    "F": Look("f", "", "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z"),
    "control": Look("control", "7 4", "M-3.6,-3.6h7.2v7.2h-7.2z"),
    "F'": Look("pruned", "2 3", "M0,-4.8L4.6,3.4H-4.6z"),
}


@dataclass(frozen=True)
class Axis:
    """The axis of values: its ``label``, a value as a ``tick`` says it, and as a sentence does (``named``).

    ``bend`` turns values into places before they are spread evenly; it keeps their order.
    """

    label: str
    tick: Callable[[float], str]
    named: Callable[[float], str]
    bend: Callable[[float], float] = float

    def x_of(self, value: float, least: float, largest: float) -> float:
        """Where ``value`` stands between ``least`` at the left and ``largest`` at the right edge."""
        low, high = self.bend(least), self.bend(largest)
        return LEFT + (RIGHT - LEFT) * (self.bend(value) - low) / (high - low)


def _over_255(eps: float) -> str:
    return f"{eps * 255:.3g}"


#: The square root keeps zero and still opens up the small values.
EPS = Axis("eps in 1/255 (square-root scale)", _over_255, lambda eps: f"eps {_over_255(eps)}/255", math.sqrt)


def plain(what: str) -> Axis:
    """An even axis of ``what``."""
    return Axis(what, lambda value: f"{value:.3g}", lambda value: f"{what} {value:.3g}")


def y_of(accuracy: float) -> float:
    """Where an accuracy in [0, 1] stands."""
    return BOTTOM - (BOTTOM - TOP) * accuracy


def chart(networks: Mapping[Role, Sequence[tuple[float, Outcome]]], axis: Axis, label: str) -> str:
    """Every network's outcomes, sorted by value, with 95 % bands, as one ``<svg>``; empty without two values."""
    every = sorted({value for points in networks.values() for value, _ in points})
    if len(every) < 2:
        return ""

    def x_of(value: float) -> float:
        return axis.x_of(value, every[0], every[-1])

    roles = [role for role in LOOKS if networks.get(role)]
    bands = [_band(LOOKS[role], [(x_of(value), outcome) for value, outcome in networks[role]]) for role in roles]
    lines = [_line(role, networks[role], axis, x_of) for role in roles]
    return svg(WIDTH, HEIGHT, label, [_axes(every, axis, x_of), *bands, *lines, *_legend(roles)])


def svg(width: int, height: int, label: str, body: Sequence[str]) -> str:
    """A drawing of these parts, ``width`` by ``height`` units, one CSS pixel each; ``label`` says what it is."""
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return "\n".join((f'<svg {size} role="img" aria-label="{escape(label)}">', *body, "</svg>"))


def _axes(every: Sequence[float], axis: Axis, x_of: Callable[[float], float]) -> str:
    parts = []
    for percent in (0, 20, 40, 60, 80, 100):
        y = y_of(percent / 100)
        parts.append(f'<path class="grid" d="M{LEFT},{y:.1f}H{RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent}</text>')
    last = math.inf
    for value in reversed(every):  # from the right: the small values, which crowd, give way
        x = x_of(value)
        parts.append(f'<path class="tick" d="M{x:.1f},{BOTTOM}v5"/>')
        if value == every[0] or min(last - x, x - LEFT) >= ROOM:
            parts.append(f'<text x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{axis.tick(value)}</text>')
            last = x
    parts.append(f'<path class="axis" d="M{LEFT},{BOTTOM}H{RIGHT}"/>')
    middle = (LEFT + RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(axis.label)}</text>')
    x, y = 14, (TOP + BOTTOM) / 2
    parts.append(f'<text transform="rotate(-90 {x} {y})" x="{x}" y="{y}" text-anchor="middle">accuracy, %</text>')
    return "\n".join(parts)


def _band(look: Look, points: Sequence[tuple[float, Outcome]]) -> str:
    places = [(x, interval(outcome)) for x, outcome in points]
    upper = [f"{x:.1f},{y_of(high):.1f}" for x, (_, high) in places]
    lower = [f"{x:.1f},{y_of(low):.1f}" for x, (low, _) in reversed(places)]
    return f'<path class="band {look.css}" d="M{"L".join(upper + lower)}z"/>'


def _line(role: Role, points: Sequence[tuple[float, Outcome]], axis: Axis, x_of: Callable[[float], float]) -> str:
    look = LOOKS[role]
    places = [(x_of(value), y_of(outcome.accuracy)) for value, outcome in points]
    parts = [_stroke(look, "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in places))]
    for (x, y), (value, outcome) in zip(places, points, strict=True):
        low, high = (100 * bound for bound in interval(outcome))
        numbers = f"{words.decimal(100 * outcome.accuracy)} % (95 %: {words.decimal(low)} to {words.decimal(high)})"
        hover = f"{words.prime(role)} at {axis.named(value)}: {numbers}"
        parts.append(f'<g transform="translate({x:.1f} {y:.1f})">{_mark(look)}<title>{escape(hover)}</title></g>')
    return "\n".join(parts)


def _legend(roles: Sequence[Role]) -> list[str]:
    parts, x = [], LEFT
    for role in roles:
        look, label = LOOKS[role], words.prime(role)
        mark = f'<g transform="translate({x + 18} 16)">{_mark(look)}</g>'
        parts.append(_stroke(look, f"M{x},16h36") + mark + f'<text x="{x + 44}" y="20">{label}</text>')
        x += 68 + 8 * len(label)
    return parts


def _stroke(look: Look, path: str) -> str:
    dashes = f' stroke-dasharray="{look.dashes}"' if look.dashes else ""
    return f'<path class="line {look.css}" d="{path}"{dashes}/>'


def _mark(look: Look) -> str:
    return f'<path class="mark {look.css}" d="{look.marker}"/>'
