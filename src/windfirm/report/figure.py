"""The page's figures: accuracy against eps and other numbers, and the filters that are left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from windfirm.errors import InputError, expected
from windfirm.evaluate.compare import Comparison, Role, Subject
from windfirm.evaluate.curves import Curve
from windfirm.evaluate.outcome import Outcome
from windfirm.report import words
from windfirm.report.chart import chart
from windfirm.report.comparison_words import subject
from windfirm.report.drawing import EPS, LENGTH, plain
from windfirm.report.drawing.look import ROLES
from windfirm.report.drawing.svg import short, svg


@dataclass(frozen=True)
class Layer:
    """One line of the profile: a layer or a group of tied layers, its filters before and after."""

    name: str
    before: int
    after: int


def points(network: Subject) -> list[tuple[float, Outcome]]:
    """The curve of one network as (eps, outcome), from zero on: clean accuracy is the point at eps 0."""
    curve = sorted(((o.eps, o) for o in network.curve if o.eps is not None), key=lambda point: point[0])
    clean = [(0.0, outcome) for outcome in network.outcomes if outcome.attack == "clean"]
    return curve if curve and curve[0][0] == 0 else clean + curve


def curve(comparison: Comparison) -> str:
    """Accuracy against eps for every network, with 95 % bands, as one ``<svg>``; empty when no sweep was measured."""
    networks = [network for role in ROLES if (network := subject(comparison, role)) and network.curve]
    label = f"Accuracy against eps: {curve_title(comparison)}"
    return chart({network.role: points(network) for network in networks}, EPS, label)


def sweep(curves: Mapping[Role, Curve]) -> str:
    """Accuracy against what ``curves``, one a network, have in common, with 95 % bands, as one ``<svg>``.

    Empty when there are not two values. Raises InputError when the curves are not of the same thing.
    """
    kinds = sorted({curve.what for curve in curves.values()})
    if len(kinds) != 1:
        raise InputError(expected("sweep", "curves of one thing", ", ".join(kinds) or "none"))
    what = kinds[0]
    titles = words.listing(sorted({outcome.title for curve in curves.values() for outcome in curve.outcomes[-1:]}))
    networks = {role: list(zip(curve.values, curve.outcomes, strict=True)) for role, curve in curves.items()}
    lengths = any(outcome.in_l2 for curve in curves.values() for outcome in curve.outcomes)
    axis = plain(what) if what != "eps" else LENGTH if lengths else EPS
    return chart(networks, axis, f"Accuracy against {what}: {titles}")


def sweeps(comparison: Comparison) -> list[tuple[str, str, str]]:
    """The sweeps of a comparison: (the attack and what grows, the figure as ``<svg>``, the attack in words)."""
    found: dict[tuple[str, str, str], dict[Role, Curve]] = {}
    for network in comparison.subjects:
        for one in network.sweeps:  # the same attack may be swept twice, with other options
            first = one.outcomes[0]
            found.setdefault((first.attack, one.what, first.title), {})[network.role] = one
    drawn = []
    for (attack, what, _), curves in found.items():
        last = next(iter(curves.values()))
        title = last.outcomes[-1].title
        said = title if what == "eps" else f"at {plain(what).named(last.values[-1])}, {title}"
        if svg := sweep(curves):
            drawn.append((f"{attack} against {what}", svg, said))
    return drawn


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
