"""A line of a study's table in numbers: F′ beside F and the control at one point of its grid, over all seeds."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from windfirm.attack.budget import show_eps
from windfirm.errors import InputError, expected
from windfirm.evaluate.compare import Delta, Versus, with_average
from windfirm.evaluate.intervals import interval
from windfirm.evaluate.outcome import Outcome
from windfirm.evaluate.paired import check_same, mean_of, on_as_many_images, per_image, sign_flip
from windfirm.evaluate.score import paired_interval
from windfirm.evaluate.several import combine
from windfirm.report.poster import Form
from windfirm.study.listing import Measured

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

    def over(self, seeds: Collection[int]) -> float:
        """The points of some of the seeds; those of all are whole numbers divided, exact where there is a tie."""
        chosen = [points for seed, points in self.each.items() if seed in seeds]
        return self.delta.points if len(chosen) == len(self.each) else sum(chosen) / len(chosen)

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


def line_of(
    rows: Sequence[Measured], names: Sequence[str], outcomes: Sequence[Outcome], form: Form | None, label: str
) -> Line:
    """The rows of one point, with the ``names`` of their columns and their ``outcomes``, as a line of the table.

    ``form``: the poster's table that this is, if any. Raises InputError for a measurement that comes twice with unlike
    outcomes, and for outcomes that are not of the same images.
    """
    found: dict[str, dict[int, dict[str, Outcome]]] = {}
    for row, name, outcome in zip(rows, names, outcomes, strict=True):
        known = found.setdefault(row.role, {}).setdefault(row.seed, {})
        if name in known and not _same(known[name], outcome):
            got = f"{name} of {row.role} with seed {row.seed} twice"
            raise InputError(expected(f"report {row.study}", "each measurement of a network once", got))
        known[name] = outcome
    _check_digests(rows, names)
    derived = {
        role: {seed: _derived(known, form) for seed, known in by_seed.items()} for role, by_seed in found.items()
    }
    point = rows[0].point
    place = form.row_of(point) if form else ""
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


def _same(one: Outcome, other: Outcome) -> bool:
    """Whether two outcomes of one attack tell the same, as where a study asks for as many images as there are."""
    return one.title == other.title and one.eps == other.eps and np.array_equal(one.correct, other.correct)


def _check_digests(rows: Sequence[Measured], names: Sequence[str]) -> None:
    """Raise InputError where the rows say that two networks were shown different images."""
    digests: dict[tuple[int, str], str] = {}
    for row, name in zip(rows, names, strict=True):
        digest = row.about.get("digest")
        if digest and digests.setdefault((row.seed, name), digest) != digest:
            got = f"such of SHA-256 {digests[row.seed, name]} and {digest}"
            wanted = f"{name} with seed {row.seed} on the same images for all networks"
            raise InputError(expected(f"report {row.study}", wanted, got))


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
        if parts and all(part in made for part in parts) and on_as_many_images([made[part] for part in parts]):
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
    differences, draws = together([*pairs.values()])
    shares = differences / draws
    low, high = (100 * end for end in paired_interval(shares))
    if len(pairs) > 1:  # other trainings make it no narrower, not even where a bootstrap of few differences is
        combined = combine([*pairs.values()])
        low, high = min(low, combined.low), max(high, combined.high)
    points = 100 * int(differences.sum()) / (draws * len(differences))  # of whole numbers, so that a tie is one
    delta = Delta(column, versus, points, low, high, sign_flip(differences), low, high, math.nan, math.nan)
    each = {seed: _points(*pair) for seed, pair in pairs.items()}
    return Gain(delta, each, published)


def _points(ours: Outcome, theirs: Outcome) -> float:
    differences, draws = per_image(ours, theirs)
    return 100 * int(differences.sum()) / (draws * len(differences))


def together(pairs: Sequence[tuple[Outcome, Outcome]]) -> tuple[NDArray[np.int64], int]:
    """What per_image says of one pair, for the pairs of several seeds: as so many more draws of each image."""
    found = [per_image(*pair) for pair in pairs]
    return np.sum([differences for differences, _ in found], axis=0), found[0][1] * len(pairs)


def _mean(values: Iterable[int | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else math.nan
