"""The poster's question: what became of each kind of accuracy from F to F', and from the control to F'."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from windfirm.errors import InputError, expected
from windfirm.evaluate.calibration import Calibration
from windfirm.evaluate.curves import Curve
from windfirm.evaluate.holm import holm
from windfirm.evaluate.outcome import Outcome
from windfirm.evaluate.paired import difference, mean_of, on_as_many_images
from windfirm.evaluate.power import smallest
from windfirm.evaluate.warnings import Checks

Role = Literal["F", "F'", "control"]
Versus = Literal["F", "control"]

Verdict = Literal["more", "less", "none shown"]

#: A difference with a p-value below this, corrected for the number of tests, is named if its interval agrees.
LEVEL = 0.05
#: Percentage points of clean accuracy within which two networks count as equally accurate.
MARGIN = 1.0

#: What accuracy on clean images is called: as an attack, and in the poster's fourth table.
CLEAN = ("clean", "generalization")

#: The attacks whose mean the poster's tables call ``average``.
AVERAGED = ("semantic", "occlusion", "fgsm", "clean")


@dataclass(frozen=True)
class Subject:
    """One network and all that was measured on it.

    ``curve``: FGSM at several eps. ``sweeps``: other curves that were asked for. ``latency_ms``: for one image,
    the median of several passes, the middle half of which took as long as ``latency_middle_ms`` says, None where that
    was not kept. ``checks`` and ``calibration`` are None where they were not asked for.
    """

    role: Role
    name: str
    macs: int
    params: int
    latency_ms: float
    outcomes: tuple[Outcome, ...]
    curve: tuple[Outcome, ...]
    checks: Checks | None = None
    calibration: Calibration | None = None
    sweeps: tuple[Curve, ...] = ()
    latency_middle_ms: tuple[float, float] | None = None


@dataclass(frozen=True)
class Delta:
    """F' minus ``versus`` under one attack, in percentage points, with two 95 % intervals and an exact p-value.

    ``low`` and ``high`` are those of paired_interval, ``boot_low`` and ``boot_high`` of the bootstrap. ``adjusted``:
    the p-value after Holm's correction for all tests of the comparison. ``smallest``: the points that these images
    would have shown with a chance of 80 %, corrected as strictly as the first of Holm's tests.
    """

    attack: str
    versus: Versus
    points: float
    low: float
    high: float
    p: float
    boot_low: float
    boot_high: float
    smallest: float
    adjusted: float

    @property
    def verdict(self) -> Verdict:
        """F' has more or less of this accuracy, beyond chance at the 5 % level for the whole table; or neither shows.

        The corrected p-value and the interval must agree, but a loss of clean accuracy is admitted as ``lost`` is.
        """
        if self.adjusted < LEVEL and self.low > 0:
            return "more"
        behind = self.adjusted < LEVEL and self.high < 0
        return "less" if behind or (self.attack in CLEAN and self.lost) else "none shown"

    @property
    def lost(self) -> bool:
        """F' is behind by its p-value, uncorrected, or by its interval: what suffices to admit a loss."""
        return self.points < 0 and (self.p < LEVEL or self.high < 0)


@dataclass(frozen=True)
class Comparison:
    """Networks measured on the same ``images`` images of ``data``, and the differences between them.

    ``margin``: the percentage points of clean accuracy that the ≈ of the poster's inequality allows.
    """

    subjects: tuple[Subject, ...]
    deltas: tuple[Delta, ...]
    images: int
    data: str
    seed: int
    margin: float = MARGIN


def compare(subjects: Sequence[Subject], *, data: str, seed: int, margin: float = MARGIN) -> Comparison:
    """Set F' beside F and, where there is one, beside the control: one delta an attack and one for the average.

    Raises InputError unless there is one F', one F and at most one control, measured by the same attacks on the same
    number of images, and for a ``margin`` outside (0, 100].
    """
    by_role = {subject.role: subject for subject in subjects}
    if len(by_role) != len(subjects) or not {"F", "F'"} <= by_role.keys():
        raise InputError(expected("compare", "one F, one F' and at most one control", [s.role for s in subjects]))
    check([outcome.attack for outcome in by_role["F"].outcomes], margin)
    pairs = [(v, *pair) for v in get_args(Versus) if v in by_role for pair in _pairs(by_role, v)]
    raw = [difference(ours, theirs, seed=seed) for _, ours, theirs in pairs]
    deltas = tuple(
        Delta(ours.attack, versus, **asdict(found), smallest=smallest(ours, theirs, LEVEL / len(pairs)), adjusted=p)
        for (versus, ours, theirs), found, p in zip(pairs, raw, holm([found.p for found in raw]), strict=True)
    )
    images = len(by_role["F"].outcomes[0].correct)
    return Comparison(tuple(subjects), deltas, images, data, seed, margin)


def check(attacks: Sequence[str], margin: float = MARGIN) -> None:
    """Raise InputError for names of attacks of which one is there twice, and a ``margin`` outside (0, 100]."""
    twice = next((name for name in attacks if attacks.count(name) > 1), None)
    if twice:
        raise InputError(expected("compare", "attacks that each have a name of their own", f"{twice} twice"))
    if not 0 < margin <= 100:
        raise InputError(expected("compare", "a margin in (0, 100] percentage points", margin))


def with_average(outcomes: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """``outcomes``, and the poster's average behind them where its four attacks are among them, on the same images."""
    by_name = {outcome.attack: outcome for outcome in outcomes if outcome.attack in AVERAGED}
    if len(by_name) < len(AVERAGED) or not on_as_many_images([*by_name.values()]):
        return tuple(outcomes)
    return (*outcomes, mean_of([by_name[name] for name in AVERAGED]))


def _pairs(by_role: Mapping[Role, Subject], versus: Versus) -> list[tuple[Outcome, Outcome]]:
    ours, theirs = (with_average(by_role[role].outcomes) for role in ("F'", versus))
    names = [[outcome.attack for outcome in outcomes] for outcomes in (ours, theirs)]
    if names[0] != names[1] or not names[0]:
        raise InputError(
            expected(f"compare: {versus}", f"the attacks {', '.join(names[0])}", ", ".join(names[1]) or "none")
        )
    return list(zip(ours, theirs, strict=True))
