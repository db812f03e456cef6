"""A matrix as a heat map: every number is printed in its cell, and the stronger the colour the larger it is."""

from collections.abc import Iterator, Sequence
from html import escape
from math import isfinite

from windfirm.report import words
from windfirm.report.drawing.svg import LETTER, short, svg, text

#: A cell, the gap between two, and letters at most in a name.
WIDE, HIGH, GAP, LONGEST = 62, 30, 2, 24


def heat(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Sequence[Sequence[float]],
    *,
    label: str,
    said: Sequence[Sequence[str]],
    sides: tuple[str, str] = ("", ""),
    digits: int = 1,
) -> str:
    """One ``<svg>``; empty without a finite value. ``cells[i][j]``, said by ``said[i][j]``, is row i and column j.

    NaN is an empty cell. No colour is zero; the full one is the value that is farthest from it. ``sides`` say what the
    rows and what the columns are; ``digits`` is the number of decimals.
    """
    known = [abs(value) for row in cells for value in row if isfinite(value)]
    if not known:
        return ""
    most = max(known) or 1
    turned = max(len(short(name, LONGEST)) for name in columns) * LETTER > WIDE - 4
    left = 16 + LETTER * max(len(short(name, LONGEST)) for name in (*rows, sides[0]))
    top = (20 if sides[1] else 0) + (14 + _rise(columns) if turned else 24)
    body = [*_sides(sides, left, top), *_names(rows, columns, left, top, turned=turned)]
    for i, (row, told) in enumerate(zip(cells, said, strict=True)):
        for j, (value, words_) in enumerate(zip(row, told, strict=True)):
            body.append(_cell(left + j * WIDE, top + i * HIGH, value, most, digits, words_))
    width = left + WIDE * len(columns) + (_rise(columns[-1:]) if turned else 0)
    return svg(round(width), round(top + HIGH * len(rows)) + 2, label, [part for part in body if part])


def _rise(names: Sequence[str]) -> float:
    """How high, and how far to the right, names rise that are turned by 45 degrees."""
    return 0.71 * LETTER * max(len(short(name, LONGEST)) for name in names)


def _sides(sides: tuple[str, str], left: float, top: float) -> Iterator[str]:
    for (x, y), name, anchor in zip(((left - 10, top - 8), (left, 14)), sides, ("end", ""), strict=True):
        if name:
            yield text(x, round(y, 1), short(name, LONGEST) if anchor else name, anchor, ' class="side"')


def _names(rows: Sequence[str], columns: Sequence[str], left: float, top: float, *, turned: bool) -> Iterator[str]:
    for i, name in enumerate(rows):
        yield text(left - 10, round(top + (i + 0.5) * HIGH + 4, 1), short(name, LONGEST), "end")
    for j, name in enumerate(columns):
        x, y = round(left + (j + 0.5) * WIDE, 1), round(top - 8, 1)
        turn = f' transform="rotate(-45 {x} {y})"' if turned else ""
        yield text(x, y, short(name, LONGEST), "" if turned else "middle", turn)


def _cell(x: float, y: float, value: float, most: float, digits: int, said: str) -> str:
    size = f'x="{x + GAP / 2:.1f}" y="{y + GAP / 2:.1f}" width="{WIDE - GAP}" height="{HIGH - GAP}"'
    if not isfinite(value):
        return f'<rect class="empty" {size}/>'
    below = " below" if value < 0 else ""
    number = text(round(x + WIDE / 2, 1), round(y + HIGH / 2 + 4, 1), words.decimal(value, digits), "middle")
    colour = f'<rect class="warm{below}" fill-opacity="{abs(value) / most:.2f}" {size}/>'
    return f'<g class="cell">{colour}{number}<title>{escape(said)}</title></g>'
