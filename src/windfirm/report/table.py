"""The comparison as a table in the poster's form: on a terminal, as plain text, as Markdown.

One list of rows serves every form. Columns are the attacks in the order they were measured, then ``clean`` and
``average``, the poster's mean of semantic, occlusion, fgsm and clean.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from windfirm.evaluate.compare import Comparison, Delta, Subject, Versus, with_average
from windfirm.report import words
from windfirm.report.comparison_words import attacks, find, pair, rivals, subject
from windfirm.report.markup import piped

#: Letters of a line, of its label, and of the narrowest number; columns that do not fit go into a further table below.
WIDE, LABEL, NUMBER = 80, 12, 9


@dataclass(frozen=True)
class Row:
    """One line of the table: ``kind`` is ``accuracy`` (cells in percent), ``delta`` (points) or ``p`` (p-values).

    ``strong`` marks the differences that are beyond chance at the 5 % level, corrected for the number of tests.
    """

    kind: str
    label: str
    cells: tuple[str, ...]
    strong: tuple[bool, ...]


def columns(comparison: Comparison) -> tuple[str, ...]:
    """The column names: the attacks, ``clean``, and ``average`` where the poster's average was measured."""
    average = [o.attack for o in with_average(pair(comparison)[0].outcomes) if o.attack == "average"]
    return (*attacks(comparison), "clean", *average)


def methods(comparison: Comparison) -> list[tuple[str, str]]:
    """What was measured under each name: the attacks in words, with their strength."""
    return [(outcome.attack, outcome.description) for outcome in with_average(pair(comparison)[0].outcomes)]


def accuracies(network: Subject, names: tuple[str, ...]) -> list[float]:
    """Accuracy in percent under each name; NaN where it was not measured."""
    known = {outcome.attack: 100 * outcome.accuracy for outcome in with_average(network.outcomes)}
    return [known.get(name, math.nan) for name in names]


def deltas(comparison: Comparison, versus: Versus) -> list[Delta]:
    """F′ − ``versus`` per column; where no difference was measured, one without numbers."""
    none = (math.nan,) * 8
    return [find(comparison, name, versus) or Delta(name, versus, *none) for name in columns(comparison)]


def rows(comparison: Comparison) -> list[Row]:
    """The rows in order: F, control, F′, then for each rival the differences and their p-values."""
    names = columns(comparison)
    plain = (False,) * len(names)
    lines = [
        Row("accuracy", words.prime(role), tuple(map(words.decimal, accuracies(network, names))), plain)
        for role in ("F", "control", "F'")
        if (network := subject(comparison, role))
    ]
    for versus in rivals(comparison):
        found = deltas(comparison, versus)
        strong = tuple(delta.verdict != "none shown" for delta in found)
        lines.append(Row("delta", f"F′ − {versus}", tuple(words.poster(delta.points) for delta in found), strong))
        lines.append(Row("p", "  p", tuple(words.probability(delta.p) for delta in found), plain))
        lines.append(Row("p", "  p, Holm", tuple(words.probability(delta.adjusted) for delta in found), plain))
    return lines


def costs(comparison: Comparison) -> list[tuple[str, str, str, str]]:
    """The cost of both networks and the change: (what, F, F′, change). MACs and latency are per image.

    Below the median of the passes that were timed stands what the middle half of them took, where that is known: on a
    machine that had other work to do the two networks' overlap, and the change means little.
    """
    f, pruned = pair(comparison)
    counts = [("MACs", f.macs, pruned.macs), ("parameters", f.params, pruned.params)]
    lines = [(what, words.quantity(a), words.quantity(b), words.change(a, b)) for what, a, b in counts]
    if math.isfinite(f.latency_ms) and math.isfinite(pruned.latency_ms):
        times = (f"{words.decimal(ms, 3)} ms" for ms in (f.latency_ms, pruned.latency_ms))
        lines.append(("latency", *times, words.change(f.latency_ms, pruned.latency_ms)))  # type: ignore[arg-type]
        if f.latency_middle_ms and pruned.latency_middle_ms:
            lines.append(_middles(f.latency_middle_ms, pruned.latency_middle_ms))
    return lines


def _middles(f: tuple[float, float], pruned: tuple[float, float]) -> tuple[str, str, str, str]:
    overlap = f[0] <= pruned[1] and pruned[0] <= f[1]
    ranges = (f"{words.decimal(low, 3)}–{words.decimal(high, 3)} ms" for low, high in (f, pruned))
    return ("latency, middle half", *ranges, "they overlap" if overlap else "apart")  # type: ignore[return-value]


#: The head of the table of calibration: what is scaled is scaled by the temperature, and not what that was fitted on.
SURENESS = ("calibration", "ECE, %", "NLL", "temperature", "scaled ECE, %", "scaled NLL")


def sureness(comparison: Comparison) -> list[tuple[str, ...]]:
    """Calibration of each network before and after temperature scaling: (who, ECE, NLL, temperature, ECE, NLL)."""
    lines: list[tuple[str, ...]] = []
    for role in ("F", "control", "F'"):
        network = subject(comparison, role)
        if network and (found := network.calibration):
            before = (words.decimal(100 * found.ece), words.decimal(found.nll, 3))
            after = (words.decimal(100 * found.scaled_ece), words.decimal(found.scaled_nll, 3))
            lines.append((words.prime(role), *before, words.decimal(found.temperature), *after))
    return lines


def table(comparison: Comparison) -> RenderableType:
    """The tables for a rich console, at most 80 columns wide: accuracies with differences, costs, calibration."""
    parts: list[RenderableType] = []
    for chosen in _pages(comparison):
        grid = _grid("accuracy, %", *(columns(comparison)[i] for i in chosen))
        for row in rows(comparison):
            style = {"accuracy": "", "delta": "", "p": "dim"}[row.kind]
            grid.add_row(row.label, *(Text(row.cells[i], "bold" if row.strong[i] else style) for i in chosen))
        parts.append(grid)
    for head, lines in _blocks(comparison):
        grid = _grid(*head)
        for line in lines:
            grid.add_row(*line)
        parts += [Text(), grid]
    return Group(*parts)


def plain(comparison: Comparison) -> str:
    """The same tables as quiet text, for a file or a pipe. Ends with a line break."""
    names = columns(comparison)
    blocks: list[list[tuple[str, ...]]] = []
    for chosen in _pages(comparison):
        head = ("accuracy, %", *(names[i] for i in chosen))
        blocks.append([head, *((row.label, *(row.cells[i] for i in chosen)) for row in rows(comparison))])
    blocks += [[head, *lines] for head, lines in _blocks(comparison)]
    return "\n".join(map(_aligned, blocks))


def markdown(comparison: Comparison) -> str:
    """The same as Markdown tables, each difference with its 95 % interval and p-value. Ends with a line break."""
    names = columns(comparison)
    lines = [("accuracy, %", *names)]
    lines += [(row.label, *row.cells) for row in rows(comparison) if row.kind == "accuracy"]
    lines += [(f"F′ − {v}", *map(detail, deltas(comparison, v))) for v in rivals(comparison)]
    return "\n".join([_piped(lines), *(_piped([head, *rest]) for head, rest in _blocks(comparison))])


def detail(delta: Delta) -> str:
    """A difference on one line, ``(+) 1.58 [+0.40 to +2.76], p = 0.009, corrected 0.072``."""
    text, ends = words.poster(delta.points), words.interval(delta.low, delta.high)
    if ends != words.NONE:
        text += f" [{ends}]"
    return text if words.probability(delta.p) == words.NONE else f"{text}, {words.p_phrases(delta)}"


def _blocks(comparison: Comparison) -> list[tuple[tuple[str, ...], Sequence[tuple[str, ...]]]]:
    """The small tables below the accuracies, each with its head."""
    blocks: list[tuple[tuple[str, ...], Sequence[tuple[str, ...]]]]
    blocks = [(("per image", "F", "F′", "change"), costs(comparison)), (SURENESS, sureness(comparison))]
    return [(head, lines) for head, lines in blocks if lines]


def _pages(comparison: Comparison) -> list[list[int]]:
    """The column numbers, cut into runs that fit."""
    pages: list[list[int]] = []
    room = 0
    for number, name in enumerate(columns(comparison)):
        width = 2 + max(NUMBER, len(name))
        if width > room:
            pages.append([])
            room = WIDE - LABEL
        pages[-1].append(number)
        room -= width
    return pages


def _grid(first: str, *others: str) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    grid.add_column(first, no_wrap=True, min_width=12)
    for name in others:
        grid.add_column(Text(name), justify="right", no_wrap=True, min_width=8)
    return grid


def _aligned(lines: list[tuple[str, ...]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    ends = (cell.rjust(width) for line in lines for cell, width in zip(line[1:], widths[1:], strict=True))
    rest = len(widths) - 1
    return "".join(f"{line[0]:<{widths[0]}}  {'  '.join(next(ends) for _ in range(rest))}\n" for line in lines)


def _piped(lines: list[tuple[str, ...]]) -> str:
    head, *rest = ([cell.strip().replace("|", "\\|") for cell in line] for line in lines)
    return piped(head, rest)
