"""The page's figures as hand-made SVG: accuracy against eps, and the filters that are left.

Colours come from the page's style sheet by class, so that both themes and print share one drawing. A network is told by
its marker and its dashes as well as by its colour.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from windfirm.evaluate.compare import Comparison, Role, Subject
from windfirm.evaluate.intervals import interval
from windfirm.evaluate.outcome import Outcome
from windfirm.report import words

#: The curve's drawing in SVG units: the whole, and the edges of the plot inside it.
WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 52, 624, 40, 290
#: Least distance between two labels under the axis.
ROOM = 30


@dataclass(frozen=True)
class Layer:
    """One line of the profile: a layer or a group of tied layers, its filters before and after."""

    name: str
    before: int
    after: int


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


def x_of(eps: float, largest: float) -> float:
    """Where ``eps`` stands: a square-root scale, which keeps zero and still opens up the small values."""
    return LEFT + (RIGHT - LEFT) * math.sqrt(eps / largest)


def y_of(accuracy: float) -> float:
    """Where an accuracy in [0, 1] stands."""
    return BOTTOM - (BOTTOM - TOP) * accuracy


def points(network: Subject) -> list[tuple[float, Outcome]]:
    """The curve of one network as (eps, outcome), from zero on: clean accuracy is the point at eps 0."""
    curve = sorted(((o.eps, o) for o in network.curve if o.eps is not None), key=lambda point: point[0])
    clean = [(0.0, outcome) for outcome in network.outcomes if outcome.attack == "clean"]
    return curve if curve and curve[0][0] == 0 else clean + curve


def curve(comparison: Comparison) -> str:
    """Accuracy against eps for every network, with 95 % bands, as one ``<svg>``; empty when no sweep was measured."""
    networks = [network for role in LOOKS if (network := words.subject(comparison, role)) and network.curve]
    if not networks:
        return ""
    every = sorted({eps for network in networks for eps, _ in points(network)})
    if every[-1] <= 0:
        return ""
    bands = [_band(network, every[-1]) for network in networks]
    lines = [_line(network, every[-1]) for network in networks]
    label = f"Accuracy against eps: {curve_title(comparison)}"
    body = [_axes(every), *bands, *lines, *_legend(networks)]
    return svg(WIDTH, HEIGHT, label, body)


def curve_title(comparison: Comparison) -> str:
    """The attack of the curve, in words."""
    return words.listing(sorted({outcome.title for network in comparison.subjects for outcome in network.curve}))


def profile(layers: Sequence[Layer], widest: int) -> str:
    """Filters before (outline) and after (solid) of each layer, one line each, as one ``<svg>`` 300 units wide.

    ``widest`` filters, at least 1, fill the line: figures that stand side by side share it.
    """
    row, body = 17, []
    for i, layer in enumerate(layers):
        y, name, unit = i * row, short(layer.name, 20), 112 / widest
        hover = escape(f"{layer.name}: {layer.after} of {layer.before} filters kept")
        body.append(
            f'<g><title>{hover}</title><text class="name" x="122" y="{y + 12}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="before" x="130" y="{y + 3.5}" width="{layer.before * unit:.1f}" height="10"/>'
            f'<rect class="after" x="130" y="{y + 3.5}" width="{layer.after * unit:.1f}" height="10"/>'
            f'<text x="300" y="{y + 12}" text-anchor="end">{layer.after}/{layer.before}</text></g>'
        )
    return svg(300, row * len(layers), "Filters kept per layer", body)


def svg(width: int, height: int, label: str, body: Sequence[str]) -> str:
    """A drawing of these parts, ``width`` by ``height`` units, one CSS pixel each; ``label`` says what it is."""
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return "\n".join((f'<svg {size} role="img" aria-label="{escape(label)}">', *body, "</svg>"))


def _axes(every: Sequence[float]) -> str:
    parts = []
    for percent in (0, 20, 40, 60, 80, 100):
        y = y_of(percent / 100)
        parts.append(f'<path class="grid" d="M{LEFT},{y:.1f}H{RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{percent}</text>')
    last = math.inf
    for eps in reversed(every):  # from the right: the small values, which crowd, give way
        x = x_of(eps, every[-1])
        parts.append(f'<path class="tick" d="M{x:.1f},{BOTTOM}v5"/>')
        if eps == 0 or min(last - x, x - LEFT) >= ROOM:
            parts.append(f'<text x="{x:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{eps * 255:.3g}</text>')
            last = x
    parts.append(f'<path class="axis" d="M{LEFT},{BOTTOM}H{RIGHT}"/>')
    middle = (LEFT + RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">eps in 1/255 (square-root scale)</text>')
    x, y = 14, (TOP + BOTTOM) / 2
    parts.append(f'<text transform="rotate(-90 {x} {y})" x="{x}" y="{y}" text-anchor="middle">accuracy, %</text>')
    return "\n".join(parts)


def _band(network: Subject, largest: float) -> str:
    places = [(x_of(eps, largest), interval(outcome)) for eps, outcome in points(network)]
    upper = [f"{x:.1f},{y_of(high):.1f}" for x, (_, high) in places]
    lower = [f"{x:.1f},{y_of(low):.1f}" for x, (low, _) in reversed(places)]
    return f'<path class="band {LOOKS[network.role].css}" d="M{"L".join(upper + lower)}z"/>'


def _line(network: Subject, largest: float) -> str:
    look = LOOKS[network.role]
    places = [(x_of(eps, largest), y_of(outcome.accuracy)) for eps, outcome in points(network)]
    parts = [_stroke(look, "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in places))]
    for (x, y), (eps, outcome) in zip(places, points(network), strict=True):
        low, high = (100 * bound for bound in interval(outcome))
        numbers = f"{words.decimal(100 * outcome.accuracy)} % (95 %: {words.decimal(low)} to {words.decimal(high)})"
        hover = f"{words.prime(network.role)} at eps {eps * 255:.3g}/255: {numbers}"
        parts.append(f'<g transform="translate({x:.1f} {y:.1f})">{_mark(look)}<title>{hover}</title></g>')
    return "\n".join(parts)


def _legend(networks: Sequence[Subject]) -> list[str]:
    parts, x = [], LEFT
    for network in networks:
        look, label = LOOKS[network.role], words.prime(network.role)
        mark = f'<g transform="translate({x + 18} 16)">{_mark(look)}</g>'
        parts.append(_stroke(look, f"M{x},16h36") + mark + f'<text x="{x + 44}" y="20">{label}</text>')
        x += 68 + 8 * len(label)
    return parts


def _stroke(look: Look, path: str) -> str:
    dashes = f' stroke-dasharray="{look.dashes}"' if look.dashes else ""
    return f'<path class="line {look.css}" d="{path}"{dashes}/>'


def _mark(look: Look) -> str:
    return f'<path class="mark {look.css}" d="{look.marker}"/>'


def short(name: str, longest: int) -> str:
    """The end of a long name, which tells layers apart better than its beginning."""
    return name if len(name) <= longest else f"…{name[-longest + 1 :]}"
