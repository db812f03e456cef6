"""The marks that every figure is made of."""

from collections.abc import Callable, Sequence
from html import escape

from windfirm.report.drawing.look import Look
from windfirm.report.drawing.series import Series

#: About the width of a letter, in SVG units.
LETTER = 7
#: The legend: the height of a row of it, the width of a sample, and letters at most in a name.
ROW, SAMPLE, LETTERS = 22, 36, 40


def svg(width: int, height: int, label: str, body: Sequence[str]) -> str:
    """A drawing of these parts, ``width`` by ``height`` units, one CSS pixel each; ``label`` says what it is."""
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return "\n".join((f'<svg {size} role="img" aria-label="{escape(label)}">', *body, "</svg>"))


def text(x: float, y: float, said: str, anchor: str = "", more: str = "") -> str:
    """``said`` at that place, escaped; ``anchor`` as in SVG, ``more`` are attributes as they are."""
    where = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.6g}" y="{y:.6g}"{where}{more}>{escape(said)}</text>'


def short(name: str, longest: int) -> str:
    """The end of a long name, which tells layers apart better than its beginning."""
    return name if len(name) <= longest else f"…{name[-longest + 1 :]}"


def stroke(look: Look, path: str) -> str:
    """The line of a series along ``path``."""
    dashes = f' stroke-dasharray="{look.dashes}"' if look.dashes else ""
    return f'<path class="line {look.css}" d="{path}"{dashes}/>'


def mark(look: Look, scale: float = 1) -> str:
    """The marker of a series about the origin."""
    larger = f' transform="scale({scale:.3g})"' if scale != 1 else ""
    return f'<path class="mark {look.css}" d="{look.marker}"{larger}/>'


def point(look: Look, x: float, y: float, said: str, scale: float = 1) -> str:
    """A marker that says its numbers."""
    return f'<g transform="translate({x:.1f} {y:.1f})">{mark(look, scale)}<title>{escape(said)}</title></g>'


def drawn(series: Series, parts: Sequence[str]) -> str:
    """What is drawn of one series, under its name."""
    return "\n".join((f'<g data-series="{escape(series.name)}">', *parts, "</g>")) if parts else ""


def sample_line(look: Look) -> str:
    """What a line looks like, about the origin."""
    return stroke(look, f"M{-SAMPLE / 2:g},0h{SAMPLE}") + mark(look)


def legend(
    series: Sequence[Series],
    looks: Sequence[Look],
    left: float,
    right: float,
    sample: Callable[[Look], str] = sample_line,
    room: float = SAMPLE,
) -> tuple[list[str], int]:
    """The names from ``left`` to ``right`` in as many rows as they need, and the number of rows.

    ``room`` is the width of a ``sample``. More than one row stand in columns.
    """
    widths = [room + 30 + LETTER * len(short(one.name, LETTERS)) for one in series]
    column = max(widths)
    abreast = len(series) if sum(widths) <= right - left + 24 else max(1, int((right - left + 24) // column))
    parts = []
    for place, (one, look, width) in enumerate(zip(series, looks, widths, strict=True)):
        row = place // abreast
        x = left + (sum(widths[:place]) if abreast >= len(series) else column * (place % abreast))
        y = 16 + ROW * row
        parts.append(
            f'<g class="key" data-series="{escape(one.name)}">'
            f'<rect class="touch" x="{x - 4:.1f}" y="{y - 11}" width="{width - 14:.1f}" height="{ROW}"/>'
            f'<g transform="translate({x + room / 2:.1f} {y})">{sample(look)}</g>'
            f"{text(x + room + 8, y + 4, short(one.name, LETTERS))}</g>"
        )
    return parts, (len(series) - 1) // abreast + 1
