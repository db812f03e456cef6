"""What is left of every layer, as one picture of the whole network in the order of the forward pass.

The skyline is the network before the cut, the solid bars what is left, hatched is what left with its block. It is read
by shape, never by colour alone.
"""

from collections.abc import Iterator, Sequence
from html import escape
from math import ceil

from windfirm.report.drawing.svg import short, svg
from windfirm.report.figure import Layer

#: In SVG units: room left of the plot and above it, the plot's height and width, a layer's least and most width.
LEFT, TOP, TALL, WIDE = 40, 12, 220, 860
NARROWEST, WIDEST = 4.0, 26.0
#: Room that a name on its side needs, its longest in letters, and the width of one of them.
LINE, LETTERS, LETTER = 13, 22, 6.2
#: Distance between the lines of the hatching.
HATCH = 5


def skyline(layers: Sequence[Layer]) -> str:
    """Filters before and after of each layer as one ``<svg>``; empty without layers. ``after`` 0: the layer left.

    It is at most 900 units wide with up to 215 layers, and 4 units a layer with more.
    """
    if not layers:
        return ""
    pitch = min(WIDEST, max(NARROWEST, WIDE / len(layers)))
    most = max(*(layer.before for layer in layers), 1)
    base, end = TOP + TALL, LEFT + pitch * len(layers)
    names = [short(layer.name, LETTERS) for layer in layers]
    every = ceil(LINE / pitch)
    body, outline = list(_scale(most, end)), f"M{LEFT},{base}"
    for i, layer in enumerate(layers):
        x, top = LEFT + i * pitch, base - TALL * layer.before / most
        outline += f"V{top:.1f}H{x + pitch:.1f}"
        body.append(_bar(layer, x, pitch, top, base))
        if i % every == 0:
            middle = x + pitch / 2 + 4
            turned = f'transform="rotate(-90 {middle:.1f} {base + 8})"'
            body.append(f'<text x="{middle:.1f}" y="{base + 8}" text-anchor="end" {turned}>{escape(names[i])}</text>')
    body.append(f'<path class="before" d="{outline}V{base}"/><path class="axis" d="M{LEFT},{base}H{end:.1f}"/>')
    body += [_hover(layer, LEFT + i * pitch, pitch) for i, layer in enumerate(layers)]
    longest = max(map(len, names[::every]))
    return svg(ceil(end) + 4, ceil(base + 14 + LETTER * longest), "Filters per layer, before and after", body)


def gone(layer: Layer) -> bool:
    """Whether a layer left with its block."""
    return layer.before > 0 and layer.after == 0


def told(layer: Layer) -> str:
    """One layer in words, with its numbers."""
    if gone(layer):
        return f"{layer.name}: left with its block, {layer.before} filters"
    share = f" ({layer.after / layer.before:.0%})" if layer.before else ""
    return f"{layer.name}: {layer.after} of {layer.before} filters kept{share}"


def _scale(most: int, end: float) -> Iterator[str]:
    """Lines across the plot at quarters of the widest layer, as whole numbers of filters."""
    for count in sorted({round(most * quarter / 4) for quarter in range(5)}):
        y = TOP + TALL * (1 - count / most)
        yield f'<path class="grid" d="M{LEFT},{y:.1f}H{end:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{count}</text>'


def _bar(layer: Layer, x: float, pitch: float, top: float, base: float) -> str:
    if gone(layer):
        return f'<path class="hatch" d="{_hatching(x, top, x + pitch, base)}"/>'
    height = (base - top) * layer.after / layer.before if layer.before else 0
    gap = 1.5 if pitch > 8 else 0
    size = f'width="{pitch - 2 * gap:.1f}" height="{height:.1f}"'
    return f'<rect class="after" x="{x + gap:.1f}" y="{base - height:.1f}" {size}/>'


def _hatching(left: float, top: float, right: float, bottom: float) -> str:
    """Slanted lines inside a rectangle, on one raster for the whole drawing, so that neighbours join."""
    first, last = ceil((left + top) / HATCH), int((right + bottom) / HATCH)
    parts = []
    for total in (HATCH * number for number in range(first, last + 1)):  # where x + y has this value
        a, b = max(left, total - bottom), min(right, total - top)
        parts.append(f"M{a:.1f},{total - a:.1f}L{b:.1f},{total - b:.1f}")
    return "".join(parts)


def _hover(layer: Layer, x: float, pitch: float) -> str:
    size = f'x="{x:.1f}" y="{TOP}" width="{pitch:.1f}" height="{TALL}"'
    return f'<rect class="hit" {size}><title>{escape(told(layer))}</title></rect>'
