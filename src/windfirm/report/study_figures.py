"""A study's figures, those that its rows are enough for: sweeps, what is removed, transfer, corruptions, trade-off."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from windfirm.attack.budget import show_eps
from windfirm.attack.corruptions import FACTORIES as CORRUPTIONS
from windfirm.evaluate.compare import CLEAN, Versus
from windfirm.report import naming, study_table, words
from windfirm.report.drawing import EPS, Point, Series, bars, heat, lines, plain, scatter
from windfirm.report.drawing.look import ROLES
from windfirm.report.line import Line, Share
from windfirm.report.summary import Summary

#: The axes of a grid that say how much is removed.
AMOUNTS = ("prune.ratio", "prune.rate", "prune.macs", "prune.params", "prune.latency", "prune.rounds")
#: Lines that have a figure of their own where each could have one.
SHOWN = 2
#: Attacks that have a figure of what is removed.
TOLD = 6
#: Values that make a sweep.
SWEEP = 3
#: Lines of which each has its name beside its mark.
LABELLED = 8


@dataclass(frozen=True)
class Figure:
    """A drawing as SVG, its title, and what is to be known to read it."""

    title: str
    note: str
    svg: str


def figures(summary: Summary) -> list[Figure]:
    """All figures that the rows are enough for, in the order of the page."""
    made = [*_sweeps(summary), *_removed(summary), *_transfer(summary), *_corruptions(summary), *_trade_off(summary)]
    of = f"{'up to ' if len(summary.images) > 1 else ''}{words.several(max(summary.images), 'image')}"
    where = f" On {of}, {words.several(len(summary.seeds), 'seed')}."
    return [replace(figure, note=figure.note + where) for figure in made if figure.svg]


def _sweeps(summary: Summary) -> Iterator[Figure]:
    """Accuracy of every network against eps, and what F' gains, for each attack of several eps."""
    versus = summary.rival
    for attack, columns in _by_eps(summary).items():
        title = f"{attack} against eps"
        for line in _some(summary.lines):
            who = f": {line.label}" if len(summary.lines) > 1 else ""
            series = [
                Series(
                    words.prime(role),
                    tuple(
                        _share(eps, line.shares[role][c], f"eps {_over(eps)}", role)
                        for eps, c in columns
                        if c in line.shares[role]
                    ),
                    role,
                )
                for role in ROLES
                if role in line.shares
            ]
            note = "Accuracy; at eps 0 the clean images. Shaded: the 95 % interval of each point by itself."
            yield Figure(f"{title}{who}", note, lines(series, x=EPS, y="accuracy, %", label=f"{title}{who}"))
        gains = [
            Series(
                line.label,
                tuple(
                    _gain(eps, line, versus, c, f"eps {_over(eps)}") for eps, c in columns if c in line.gains[versus]
                ),
            )
            for line in summary.lines
        ]
        if len(gains) > 1:
            label = f"{attack} against eps: F′ − {versus}"
            note = "Points that F′ gains; above zero F′ is more robust. Bars: 95 % intervals."
            drawn = lines(gains, x=EPS, y=f"F′ − {versus}, points", label=label, zero=True, band=False)
            yield Figure(label, note, drawn)


def _removed(summary: Summary) -> Iterator[Figure]:
    """What F' gains against the MACs that are removed, one line for each criterion or structure."""
    kinds = amounts(summary)
    versus = summary.rival
    if not kinds:
        return
    for column in _telling(summary):
        series = [
            Series(
                name,
                tuple(
                    _gain(
                        100 * (1 - line.left),
                        line,
                        versus,
                        column,
                        f"{100 * (1 - line.left):.1f} % of the MACs removed",
                    )
                    for line in some
                    if column in line.gains[versus]
                ),
            )
            for name, some in kinds.items()
        ]
        label = f"{column}: F′ − {versus} against what is removed"
        note = "Points that F′ gains, with 95 % intervals; above zero F′ is the better one."
        axis = plain("MACs removed, %")
        yield Figure(label, note, lines(series, x=axis, y=f"F′ − {versus}, points", label=label, zero=True, band=False))


def amounts(summary: Summary, least: int = SWEEP) -> dict[str, list[Line]]:
    """The lines of which at least ``least`` differ in nothing but how much is removed, by what else they are."""
    known = [line for line in summary.lines if math.isfinite(line.left)]
    kinds: dict[str, list[Line]] = {}
    for line in known:
        kinds.setdefault(_kind(line, known), []).append(line)
    return {kind: lines for kind, lines in kinds.items() if len({round(line.left, 3) for line in lines}) >= least}


def _transfer(summary: Summary) -> Iterator[Figure]:
    """Who is fooled by images that were made on whom."""
    columns = [column for column in summary.columns if " from " in column]
    sources = [column.partition(" from ")[2] for column in columns]
    if len(columns) < 2:
        return
    for line in _some(summary.lines):
        roles = [role for role in ROLES if role in line.shares]
        places = [[line.shares[role].get(column) for role in roles] for column in columns]
        cells = [[share.percent if share else math.nan for share in row] for row in places]
        told = [
            [
                f"made on {words.prime(source)}, shown to {words.prime(role)}: {_numbers(share)}" if share else ""
                for role, share in zip(roles, row, strict=True)
            ]
            for source, row in zip(sources, places, strict=True)
        ]
        label = f"Images made on one network, shown to another: {line.label}"
        names = [*map(words.prime, sources)], [*map(words.prime, roles)]
        drawn = heat(*names, cells, label=label, said=told, sides=("made on", "shown to"))
        yield Figure(label, "Accuracy in percent. The darker, the more of the images are still right.", drawn)


def _corruptions(summary: Summary) -> Iterator[Figure]:
    """Accuracy under each corruption."""
    columns = [column for column in summary.columns if column.split(" ")[0] in CORRUPTIONS]
    if len(columns) < SWEEP:
        return
    for line in _some(summary.lines):
        series = []
        for role in ROLES:
            if shares := line.shares.get(role):
                points = (shares.get(column) for column in columns)
                series.append(
                    Series(
                        words.prime(role),
                        tuple(
                            _share(i, share, columns[i], role) if share else Point(i, math.nan, math.nan, math.nan, "")
                            for i, share in enumerate(points)
                        ),
                        role,
                    )
                )
        label = f"Accuracy under corruptions: {line.label}"
        yield Figure(label, "Whiskers: 95 % intervals.", bars(columns, series, label=label))


def _trade_off(summary: Summary) -> Iterator[Figure]:
    """Accuracy on clean images against accuracy under attack, and what the network costs."""
    clean = next((column for column in CLEAN if column in summary.columns), None)
    hard = _telling(summary)[:1]
    if clean is None or not hard or hard[0] == clean or len(summary.lines) < 2:
        return
    series, labelled = [], len(summary.lines) <= LABELLED
    for role in ROLES:
        points: dict[tuple[float, float], Point] = {}
        for line in summary.lines:
            shares = line.shares.get(role, {})
            if clean in shares and hard[0] in shares:
                x, y, cost = shares[clean], shares[hard[0]], line.macs[role]
                named = words.prime(role) + (f", {line.label}" if role != "F" else "")
                said = (
                    f"{named}: clean {words.decimal(x.percent)} %, {hard[0]} {_numbers(y)}, {words.quantity(cost)} MACs"
                )
                name = "" if not labelled else line.label if role == "F'" else _whose(summary, role, line)
                points.setdefault((x.percent, y.percent), Point(x.percent, y.percent, y.low, y.high, said, cost, name))
        if points:
            series.append(Series(words.prime(role), tuple(points.values()), role))
    label = f"Clean accuracy, {hard[0]} and cost"
    note = f"To the right: more accurate on clean images; up: in {hard[0]}. The area of a mark is the network’s MACs."
    axis = plain("accuracy on clean images, %")
    yield Figure(label, note, scatter(series, x=axis, y=f"accuracy, {hard[0]}, %", label=label))


def _whose(summary: Summary, role: str, line: Line) -> str:
    """F or the control of a line, with what tells it from those of others; nothing where all have one."""
    mine = next(lines for lines in study_table.groups(summary) if line in lines)
    if len({repr(one.shares.get(role)) for one in summary.lines}) == 1:
        return ""
    alike = len(mine) < len(summary.lines) and len({repr(one.shares.get(role)) for one in mine}) == 1
    return f"{words.prime(role)}, {line.label.partition(', ')[0] if alike else line.label}"


def _by_eps(summary: Summary) -> dict[str, list[tuple[float, str]]]:
    """The columns of each attack of at least SWEEP sizes in a norm, by eps, clean accuracy at zero among them."""
    found: dict[str, dict[float, str]] = {}
    for line in summary.lines:
        for by_seed in line.outcomes.values():
            for outcomes in by_seed.values():
                for column, outcome in outcomes.items():
                    if outcome.eps is not None and column == f"{outcome.attack} {naming.strength(outcome)}":
                        norm = column.removeprefix(f"{outcome.attack} {show_eps(outcome.eps)}")
                        found.setdefault(outcome.attack + norm, {})[outcome.eps] = column
    clean = {0.0: "clean"} if "clean" in summary.columns else {}
    return {attack: sorted((clean | columns).items()) for attack, columns in found.items() if len(columns) >= SWEEP}


def _telling(summary: Summary) -> list[str]:
    """The columns that a figure of one column is drawn of: the means, some attacks, and clean."""
    plain_ones = [c for c in summary.columns if " from " not in c and c not in CLEAN]
    means = [c for c in ("average", "robustness") if c in plain_ones]
    chosen = [*means, *(c for c in plain_ones if c not in means)][: TOLD + len(means)]
    return chosen + [c for c in CLEAN if c in summary.columns]


def _kind(line: Line, among: Sequence[Line]) -> str:
    """What a line is beside how much it removes."""
    axes = [axis for axis in line.point if axis not in AMOUNTS and len({repr(o.point.get(axis)) for o in among}) > 1]
    return naming.label(line.point, axes) or "F′"


def _some(all_: Sequence[Line]) -> list[Line]:
    """At most SHOWN lines, evenly spread over all, the first and the last among them."""
    if len(all_) <= SHOWN:
        return [*all_]
    return [all_[round(i * (len(all_) - 1) / (SHOWN - 1))] for i in range(SHOWN)]


def _share(x: float, share: Share, where: str, role: str) -> Point:
    return Point(x, share.percent, share.low, share.high, f"{words.prime(role)}, {where}: {_numbers(share)}")


def _gain(x: float, line: Line, versus: Versus, column: str, where: str) -> Point:
    delta = line.gains[versus][column].delta
    said = f"{line.label}, {where}: {words.signed(delta.points)} points ({words.interval(delta.low, delta.high)})"
    return Point(x, delta.points, delta.low, delta.high, said)


def _numbers(share: Share) -> str:
    return f"{words.decimal(share.percent)} % (95 %: {words.decimal(share.low)} to {words.decimal(share.high)})"


def _over(eps: float) -> str:
    return "0" if eps == 0 else show_eps(eps)
