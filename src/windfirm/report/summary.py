"""A study in numbers: a line for each point of its grid, F′ beside F and the control, over all seeds.

Nothing is measured here. Outcomes of all images are brought together, as windfirm.evaluate does it for two networks.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from windfirm.attack.budget import show_eps
from windfirm.errors import InputError, expected
from windfirm.evaluate.compare import LEVEL, Comparison, Delta, Versus, with_average
from windfirm.evaluate.holm import holm
from windfirm.evaluate.intervals import interval
from windfirm.evaluate.outcome import Outcome, pack, unpack
from windfirm.evaluate.paired import check_same, mean_of, paired_interval, per_image, sign_flip
from windfirm.evaluate.power import smallest_difference
from windfirm.evaluate.several import combine
from windfirm.report import naming
from windfirm.report.poster import Form, forms
from windfirm.study.find import subject
from windfirm.study.listing import ABOUT, Measured

#: What the poster's FGSM may spend, where a study has FGSM of several sizes.
POSTER_EPS = 8 / 255

#: Outcomes of one network by the name of their column.
Outcomes = Mapping[str, Outcome]


@dataclass(frozen=True)
class Share:
    """Accuracy in percent, the mean over the seeds, and its 95 % interval for other images."""

    percent: float
    low: float
    high: float


@dataclass(frozen=True)
class Gain:
    """F' minus another network in one place of the table.

    ``delta``: the mean over the seeds. Its p-value is that of the images, all seeds taken together; its interval is
    one for other images and, where there are several seeds, other trainings as well. ``each``: points by seed.
    ``published``: what the poster has in this place.
    """

    delta: Delta
    each: Mapping[int, float]
    published: float | None = None

    @property
    def spread(self) -> float:
        """The standard deviation over the seeds, NaN for one."""
        return float(np.std([*self.each.values()], ddof=1)) if len(self.each) > 1 else math.nan

    @property
    def agrees(self) -> bool | None:
        """Whether the sign is the poster's; None where it has no number."""
        return None if self.published is None else bool(np.sign(self.delta.points) == np.sign(self.published))


@dataclass(frozen=True)
class Line:
    """A point of the grid. ``shares``: by role and column; ``gains``: by what F' is compared with, and column.

    ``macs`` by role, the mean over the seeds. ``outcomes``: by role and seed, for figures.
    """

    label: str
    row: str
    point: Mapping[str, Any]
    shares: Mapping[str, Mapping[str, Share]]
    gains: Mapping[Versus, Mapping[str, Gain]]
    macs: Mapping[str, float]
    outcomes: Mapping[str, Mapping[int, Outcomes]]

    @property
    def left(self) -> float:
        """The share of F's MACs that F' has, NaN where it is not known."""
        return self.macs.get("F'", math.nan) / self.macs.get("F", math.nan)


@dataclass(frozen=True)
class Summary:
    """A study. ``columns``: the names in order, derived ones included. ``about``: every value of ABOUT that there is.

    ``head``: what the labels of the lines tell. ``tests``: how many p-values were corrected for.
    """

    study: str
    title: str
    head: str
    form: Form | None
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    seeds: tuple[int, ...]
    images: tuple[int, ...]
    about: Mapping[str, tuple[str, ...]]
    tests: int

    def versus(self) -> tuple[Versus, ...]:
        """What F' is compared with anywhere."""
        return tuple(v for v in get_args(Versus) if any(line.gains.get(v) for line in self.lines))

    @property
    def rival(self) -> Versus:
        """What tells most when F' is compared with it: the control where there is one."""
        return "control" if "control" in self.versus() else "F"

    def mean_gain(self, versus: Versus, column: str) -> float | None:
        """The mean of one column in points, None where no line has it.

        Where there are controls, lines without one are left out, so that what F' gains over F and over the control can
        be compared.
        """
        found = self.gains(versus, column)
        both = [gain for line, gain in found if column in line.gains[self.rival]]
        points = [gain.delta.points for gain in both or [gain for _, gain in found]]
        return sum(points) / len(points) if points else None

    def gains(self, versus: Versus, column: str) -> list[tuple[Line, Gain]]:
        """One column of the table, from the lines that have it."""
        return [(line, line.gains[versus][column]) for line in self.lines if column in line.gains.get(versus, {})]


def summaries(rows: Iterable[Measured]) -> list[Summary]:
    """One summary a study, in the order in which they come. Raises InputError for rows that do not fit together."""
    studies: dict[str, list[Measured]] = {}
    for row in rows:
        studies.setdefault(row.study, []).append(row)
    return [summary(found) for found in studies.values()]


def summary(rows: Sequence[Measured]) -> Summary:
    """What the rows of one study come to. Raises InputError when there is none, or they do not fit together."""
    if not rows:
        raise InputError(expected("report", "rows of a study", "none"))
    name = rows[0].study
    form = forms().get(name)
    outcomes = [unpack(row.row) for row in rows]
    names = naming.columns(outcomes)
    points: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        points.setdefault(repr(sorted(row.point.items())), []).append(number)
    places = [rows[numbers[0]].point for numbers in points.values()]
    varying = naming.varying(places)
    grouped = [*points.values()]
    ordered = [grouped[i] for i in naming.in_order(places, varying)]
    lines = [
        _line([rows[i] for i in numbers], [names[i] for i in numbers], [outcomes[i] for i in numbers], form, varying)
        for numbers in ordered
    ]
    lines.sort(key=lambda line: _place(line, form))
    found = {column for line in lines for shares in line.shares.values() for column in shares}
    attacks = {name: (outcome.attack, outcome.eps or 0.0) for name, outcome in zip(names, outcomes, strict=True)}
    columns = tuple(sorted(found, key=lambda column: naming.order(column, attacks, form)))
    lines, tests = _corrected(lines)
    return Summary(
        name,
        subject(name),
        form.head if form else ", ".join(axis.rpartition(".")[2] for axis in varying) or "point",
        form,
        columns,
        tuple(lines),
        tuple(sorted({row.seed for row in rows})),
        tuple(sorted({len(outcome.correct) for outcome in outcomes})),
        {key: tuple(sorted({row.about[key] for row in rows if key in row.about})) for key in ABOUT},
        tests,
    )


def rows_of(comparison: Comparison) -> list[Measured]:
    """A comparison of two or three networks as the rows of a study of one point."""
    about = {"data": comparison.data}
    return [
        Measured(
            "compare",
            network.role,
            {},
            comparison.seed,
            pack(outcome),
            network.macs,
            network.params,
            "",
            None,
            None,
            about,
        )
        for network in comparison.subjects
        for outcome in {(o.attack, o.title, o.eps): o for o in (*network.outcomes, *network.curve)}.values()
    ]


def _line(
    rows: Sequence[Measured], names: Sequence[str], outcomes: Sequence[Outcome], form: Form | None, axes: Sequence[str]
) -> Line:
    found: dict[str, dict[int, dict[str, Outcome]]] = {}
    for row, name, outcome in zip(rows, names, outcomes, strict=True):
        known = found.setdefault(row.role, {}).setdefault(row.seed, {})
        if name in known:
            got = f"{name} of {row.role} with seed {row.seed} twice"
            raise InputError(expected(f"report {row.study}", "each measurement of a network once", got))
        known[name] = outcome
    derived = {
        role: {seed: _derived(known, form) for seed, known in by_seed.items()} for role, by_seed in found.items()
    }
    point = rows[0].point
    place = form.row_of(point) if form else ""
    label = form.label(place) if form else naming.label(point, axes)
    gains: dict[Versus, dict[str, Gain]] = {
        versus: _gains(versus, derived.get("F'", {}), derived.get(versus, {}), form, place)
        for versus in get_args(Versus)
    }
    return Line(
        label or rows[0].study,
        place,
        point,
        {role: _shares(by_seed) for role, by_seed in derived.items()},
        gains,
        {role: _mean(row.macs for row in rows if row.role == role) for role in found},
        derived,
    )


def _derived(known: dict[str, Outcome], form: Form | None) -> dict[str, Outcome]:
    """The outcomes of one network with the means that the table has, and without what those stand for."""
    posters = f"fgsm {show_eps(POSTER_EPS)}"
    if form is None:
        four = [outcome for name, outcome in known.items() if name in (outcome.attack, posters)]
        return known | {outcome.attack: outcome for outcome in with_average(four)[len(four) :]}
    if "fgsm" not in known and (poster := known.get(posters)):
        known = {("fgsm" if outcome is poster else name): outcome for name, outcome in known.items()}
    made = dict(known)
    for column, parts in form.columns.items():
        if parts and all(part in made for part in parts):
            made[column] = mean_of([made[part] for part in parts], column)
    return made


def _shares(by_seed: Mapping[int, Outcomes]) -> dict[str, Share]:
    columns = dict.fromkeys(column for outcomes in by_seed.values() for column in outcomes)
    shares = {}
    for column in columns:
        together = mean_of([outcomes[column] for outcomes in by_seed.values() if column in outcomes])
        low, high = interval(together)
        shares[column] = Share(100 * together.accuracy, 100 * low, 100 * high)
    return shares


def _gains(
    versus: Versus, ours: Mapping[int, Outcomes], theirs: Mapping[int, Outcomes], form: Form | None, row: str
) -> dict[str, Gain]:
    """One gain a column, from the seeds that have both networks."""
    shared = [seed for seed in sorted(ours) if seed in theirs]
    columns = dict.fromkeys(c for seed in shared for c in ours[seed] if c in theirs[seed])
    published = form.published if form and versus == "F" else {}
    gains = {}
    for column in columns:
        pairs = {s: (ours[s][column], theirs[s][column]) for s in shared if column in ours[s] and column in theirs[s]}
        gains[column] = _gain(column, versus, pairs, published.get((row, column)))
    return gains


def _gain(column: str, versus: Versus, pairs: Mapping[int, tuple[Outcome, Outcome]], published: float | None) -> Gain:
    first = next(iter(pairs.values()))[0]
    for pair in pairs.values():
        for outcome in pair:
            check_same(first, outcome)
    differences, draws = _together([*pairs.values()])
    shares = differences / draws
    if len(pairs) > 1:
        combined = combine([*pairs.values()])
        low, high = combined.low, combined.high
    else:
        low, high = (100 * end for end in paired_interval(shares))
    points = 100 * float(shares.mean())
    delta = Delta(column, versus, points, low, high, sign_flip(differences), low, high, math.nan, math.nan)
    each = {seed: 100 * (ours.accuracy - theirs.accuracy) for seed, (ours, theirs) in pairs.items()}
    return Gain(delta, each, published)


def _together(pairs: Sequence[tuple[Outcome, Outcome]]) -> tuple[NDArray[np.int64], int]:
    """What per_image says of one pair, of all seeds as so many draws more of each image."""
    found = [per_image(*pair) for pair in pairs]
    return np.sum([differences for differences, _ in found], axis=0), found[0][1] * len(pairs)


def _corrected(lines: Sequence[Line]) -> tuple[list[Line], int]:
    """The lines with p-values corrected for their number in the whole table, and that number."""
    places = [(i, v, c) for i, line in enumerate(lines) for v, gains in line.gains.items() for c in gains]
    adjusted = holm([lines[i].gains[v][c].delta.p for i, v, c in places])
    by_place = dict(zip(places, adjusted, strict=True))
    made = []
    for i, line in enumerate(lines):
        gains: dict[Versus, dict[str, Gain]] = {
            v: {
                c: replace(
                    gain,
                    delta=replace(gain.delta, adjusted=by_place[i, v, c], smallest=_smallest(line, v, c, len(places))),
                )
                for c, gain in known.items()
            }
            for v, known in line.gains.items()
        }
        made.append(replace(line, gains=gains))
    return made, len(places)


def _smallest(line: Line, versus: Versus, column: str, tests: int) -> float:
    ours, theirs = line.outcomes["F'"], line.outcomes[versus]
    pairs = [(ours[s][column], theirs[s][column]) for s in line.gains[versus][column].each]
    differences, draws = _together(pairs)
    return 100 * smallest_difference(differences / draws, LEVEL / tests)


def _place(line: Line, form: Form | None) -> tuple[int, str]:
    """The poster's order, then that of the labels as they come."""
    rows = form.rows if form else ()
    return (rows.index(line.row), "") if line.row in rows else (len(rows), line.row)


def _mean(values: Iterable[int | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan
