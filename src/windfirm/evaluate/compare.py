"""The poster's question: what became of each kind of accuracy from F to F', and from the control to F'."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from windfirm.errors import InputError, expected
from windfirm.evaluate.outcome import Outcome, pack, unpack
from windfirm.evaluate.paired import difference, mean_of

Role = Literal["F", "F'", "control"]
Versus = Literal["F", "control"]

#: The attacks whose mean the poster's tables call ``average``.
AVERAGED = ("semantic", "occlusion", "fgsm", "clean")


@dataclass(frozen=True)
class Subject:
    """One network and all that was measured on it. ``curve``: FGSM at several eps. ``latency_ms``: for one image."""

    role: Role
    name: str
    macs: int
    params: int
    latency_ms: float
    outcomes: tuple[Outcome, ...]
    curve: tuple[Outcome, ...]


@dataclass(frozen=True)
class Delta:
    """F' minus ``versus`` under one attack, in percentage points, with a 95 % interval and an exact p-value."""

    attack: str
    versus: Versus
    points: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class Comparison:
    """Networks measured on the same ``images`` images of ``data``, and the differences between them."""

    subjects: tuple[Subject, ...]
    deltas: tuple[Delta, ...]
    images: int
    data: str
    seed: int


def compare(subjects: Sequence[Subject], *, data: str, seed: int) -> Comparison:
    """Set F' beside F and, where there is one, beside the control: one delta an attack and one for the average.

    Raises InputError unless there is one F', one F and at most one control, measured by the same attacks on the same
    number of images.
    """
    by_role = {subject.role: subject for subject in subjects}
    if len(by_role) != len(subjects) or not {"F", "F'"} <= by_role.keys():
        raise InputError(expected("compare", "one F, one F' and at most one control", [s.role for s in subjects]))
    deltas = [delta for versus in get_args(Versus) if versus in by_role for delta in _deltas(by_role, versus)]
    images = len(by_role["F"].outcomes[0].correct)
    return Comparison(tuple(subjects), tuple(deltas), images, data, seed)


def with_average(outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """``outcomes``, and the poster's average behind them where all four attacks of it are among them."""
    by_name = {outcome.attack: outcome for outcome in outcomes}
    if not by_name.keys() >= set(AVERAGED):
        return tuple(outcomes)
    return (*outcomes, mean_of([by_name[name] for name in AVERAGED]))


def _deltas(by_role: Mapping[Role, Subject], versus: Versus) -> list[Delta]:
    ours, theirs = (with_average(by_role[role].outcomes) for role in ("F'", versus))
    names = [[outcome.attack for outcome in outcomes] for outcomes in (ours, theirs)]
    if names[0] != names[1] or not names[0]:
        raise InputError(
            expected(f"compare: {versus}", f"the attacks {', '.join(names[0])}", ", ".join(names[1]) or "none")
        )
    return [Delta(a.attack, versus, **asdict(difference(a, b))) for a, b in zip(ours, theirs, strict=True)]


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Plain values that json.dumps takes; every image's outcome is among them, packed."""
    subjects = []
    for subject in comparison.subjects:
        values = {name: value for name, value in vars(subject).items() if name not in ("outcomes", "curve")}
        values["outcomes"] = [pack(outcome) for outcome in subject.outcomes]
        values["curve"] = [pack(outcome) for outcome in subject.curve]
        subjects.append(values)
    deltas = [asdict(delta) for delta in comparison.deltas]
    return {**vars(comparison), "subjects": subjects, "deltas": deltas}


def from_json(values: Mapping[str, Any]) -> Comparison:
    """What to_json wrote. Raises InputError when parts are missing or damaged."""
    try:
        subjects = tuple(
            Subject(**{**s, "outcomes": tuple(map(unpack, s["outcomes"])), "curve": tuple(map(unpack, s["curve"]))})
            for s in values["subjects"]
        )
        deltas = tuple(Delta(**delta) for delta in values["deltas"])
        return Comparison(**{**values, "subjects": subjects, "deltas": deltas})
    except (KeyError, TypeError) as error:
        raise InputError(expected("comparison", "the values of a comparison", f"others ({error})")) from error
