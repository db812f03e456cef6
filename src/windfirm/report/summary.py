"""A study in numbers: a line for each point of its grid, F′ beside F and the control, over all seeds.

Nothing is measured here. Outcomes of all images are brought together, as windfirm.evaluate does it for two networks.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, get_args

from windfirm.errors import InputError, expected
from windfirm.evaluate.compare import LEVEL, Comparison, Versus
from windfirm.evaluate.holm import holm
from windfirm.evaluate.outcome import pack, unpack
from windfirm.evaluate.power import smallest_difference
from windfirm.report import naming
from windfirm.report.line import Gain, Line, Outcomes, line_of, together
from windfirm.report.making import methods, one_f, settings, time
from windfirm.report.poster import Form, forms
from windfirm.study.find import subject
from windfirm.study.listing import ABOUT, Measured, Run


@dataclass(frozen=True)
class Summary:
    """A study. ``columns``: the names in order, derived ones included. ``about``: every value of ABOUT that there is.

    ``name`` and ``title`` are those of the study, with its scale and changes where it was run with others beside.
    ``head``: what the labels of the lines tell. ``tests``: how many p-values were corrected for. ``attacks``: each with
    what it did in words, as in methods. ``time``: how long it took, in words; empty where that is not known.
    ``one_f``: whether there are several seeds, and at each point F is the same network with all of them. ``settings``:
    what was set alike at all points, as far as the rows tell.
    """

    run: Run
    name: str
    title: str
    head: str
    form: Form | None
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    seeds: tuple[int, ...]
    images: tuple[int, ...]
    about: Mapping[str, tuple[str, ...]]
    tests: int
    attacks: tuple[tuple[str, str], ...]
    time: str
    one_f: bool
    settings: Mapping[str, Any]

    @property
    def study(self) -> str:
        """The name of the study."""
        return self.run.study

    def versus(self) -> tuple[Versus, ...]:
        """What F' is compared with anywhere."""
        return tuple(v for v in get_args(Versus) if any(line.gains.get(v) for line in self.lines))

    @property
    def rival(self) -> Versus:
        """What tells most when F' is compared with it: the control where there is one."""
        return "control" if "control" in self.versus() else "F"

    @cached_property
    def pruned(self) -> tuple[Line, ...]:
        """The lines whose F' costs less than F, as one with a defence and no cut does not; all where none does."""
        return tuple(line for line in self.lines if line.left != 1) or self.lines

    @property
    def whole(self) -> tuple[Line, ...]:
        """The others."""
        return tuple(line for line in self.lines if line.left == 1) if len(self.pruned) < len(self.lines) else ()

    @cached_property
    def distinct(self) -> tuple[Line, ...]:
        """The pruned lines; of those that are one network, as far as all images of all seeds tell, the first alone."""
        return distinct(self.pruned)

    def sizes(self, column: str) -> str:
        """How far the attack of a column goes, `` 8/255``, where its name does not say it, or nothing."""
        found = {
            f" {naming.strength(outcomes[column])}"
            for line in self.lines
            for by_seed in line.outcomes.values()
            for outcomes in by_seed.values()
            if column in outcomes and outcomes[column].eps is not None
        }
        return found.pop() if len(found) == 1 and not column.endswith(tuple(found)) else ""

    def mean_gain(self, versus: Versus, column: str) -> float | None:
        """The mean of one column in points, None where no line has it; of its places where there are any."""
        points = [place[versus] for place in self.places(column) if versus in place]
        known = [line.gains.get(versus, {}) for line in self.distinct]
        points = points or [gains[column].delta.points for gains in known if column in gains]
        return sum(points) / len(points) if points else None

    def places(self, column: str) -> list[dict[Versus, float]]:
        """What F' gains, in points, over all that it is compared with, of one column: distinct lines that have it all.

        Of the seeds that have them all, so that what it gains over F and over the control can be compared.
        """
        found = []
        for line in self.distinct:
            gains = {versus: line.gains[versus][column] for versus in self.versus() if column in line.gains[versus]}
            shared = set.intersection(*(set(gain.each) for gain in gains.values())) if gains else set()
            if shared and len(gains) == len(self.versus()):
                found.append({versus: gain.over(shared) for versus, gain in gains.items()})
        return found

    def gains(self, versus: Versus, column: str) -> list[tuple[Line, Gain]]:
        """One column of the table, from the pruned lines that have it."""
        return [(line, line.gains[versus][column]) for line in self.pruned if column in line.gains.get(versus, {})]


def distinct(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Of lines that are one network, as far as all images of all seeds tell, the first alone."""
    found: dict[object, Line] = {}
    for line in lines:
        found.setdefault(_everything(line), line)
    return tuple(found.values())


def answers(outcomes: Outcomes) -> tuple[tuple[str, bytes], ...]:
    """What a network got right: equal where no image tells two networks apart."""
    return tuple((column, outcome.correct.tobytes()) for column, outcome in sorted(outcomes.items()))


def _everything(line: Line) -> tuple[object, ...]:
    """The answers of all networks of a line."""
    return tuple(
        (role, seed, answers(outcomes))
        for role, by_seed in sorted(line.outcomes.items())
        for seed, outcomes in sorted(by_seed.items())
    )


def summaries(rows: Iterable[Measured]) -> list[Summary]:
    """One summary for each study and each scale and changes that it was run with, in the order in which they come.

    Raises InputError for rows that do not fit together.
    """
    runs: dict[Run, list[Measured]] = {}
    for row in rows:
        runs.setdefault(row.run, []).append(row)
    times = Counter(run.study for run in runs)
    found = map(summary, runs.values())
    return [_told_apart(entry) if times[entry.study] > 1 else entry for entry in found]


def _told_apart(found: Summary) -> Summary:
    how = [f"scale {found.run.scale}" if found.run.scale else "", found.run.changes]
    said = ", ".join(filter(None, how))
    name = "-".join(filter(None, found.run))
    return replace(found, name=name, title=f"{found.title} ({said})" if said else found.title)


def summary(rows: Sequence[Measured]) -> Summary:
    """What the rows of one study come to. Raises InputError when there is none, or they do not fit together."""
    if not rows:
        raise InputError(expected("report", "rows of a study", "none"))
    name = rows[0].study
    form = forms().get(name)
    outcomes = [unpack(row.row) for row in rows]
    names = naming.columns(outcomes, [repr(sorted(row.point.items())) for row in rows])
    points: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        points.setdefault(repr(sorted(row.point.items())), []).append(number)
    places = [rows[numbers[0]].point for numbers in points.values()]
    varying = naming.varying(places)
    grouped, labels = [*points.values()], naming.labels(places, varying, form)
    lines = []
    for place in naming.in_order(places, varying):
        at = grouped[place]
        found = [rows[i] for i in at], [names[i] for i in at], [outcomes[i] for i in at]
        lines.append(line_of(*found, form, labels[place]))
    alike = Counter(line.row for line in lines)
    lines = [line if alike[line.row] == 1 else _unlike_the_posters(line) for line in lines]
    lines.sort(key=lambda line: _place(line, form))
    measured = {column for line in lines for shares in line.shares.values() for column in shares}
    attacks = {name: (outcome.attack, outcome.eps or 0.0) for name, outcome in zip(names, outcomes, strict=True)}
    columns = tuple(sorted(measured, key=lambda column: naming.order(column, attacks, form)))
    lines, tests = _corrected(lines)
    return Summary(
        rows[0].run,
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
        methods(outcomes),
        time(rows),
        one_f(rows),
        settings(rows),
    )


def _unlike_the_posters(line: Line) -> Line:
    """Without the poster's numbers: of several lines in the place of one of its rows none is its counterpart."""
    gains = {v: {c: replace(gain, published=None) for c, gain in known.items()} for v, known in line.gains.items()}
    return replace(line, gains=gains)


def rows_of(comparison: Comparison) -> list[Measured]:
    """A comparison of two or three networks as the rows of a study of one point, its tests those of the comparison.

    The curve is not among them: it makes no test, and the comparison's page draws it.
    """
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
        for outcome in network.outcomes
    ]


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
    differences, draws = together(pairs)
    return 100 * smallest_difference(differences / draws, LEVEL / tests)


def _place(line: Line, form: Form | None) -> tuple[int, str]:
    """The poster's order, then that of the labels as they come."""
    rows = form.rows if form else ()
    return (rows.index(line.row), "") if line.row in rows else (len(rows), line.row)
