"""A comparison by hand: every number in it is chosen, so that every word about it can be expected."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from windfirm.evaluate.calibration import Calibration
from windfirm.evaluate.compare import Comparison, Delta, Role, Subject, Versus
from windfirm.evaluate.holm import holm
from windfirm.evaluate.outcome import Outcome
from windfirm.evaluate.warnings import Checks, Finding

Numbers = tuple[float, float, float, float]  # points, low, high, p

GAIN: Numbers = (2.0, 1.0, 3.0, 0.0001)
LOSS: Numbers = (-2.0, -3.0, -1.0, 0.0001)
NOTHING: Numbers = (0.4, -0.5, 1.3, 0.42)
CLEAN: Numbers = (-0.4, -0.9, 0.1, 0.13)

RIGHT: Mapping[Role, dict[str, int]] = {
    "F": {"semantic": 700, "occlusion": 780, "fgsm": 186, "clean": 931},
    "control": {"semantic": 702, "occlusion": 790, "fgsm": 210, "clean": 934},
    "F'": {"semantic": 716, "occlusion": 800, "fgsm": 223, "clean": 927},
}
CURVE: Mapping[Role, tuple[int, int]] = {"F": (600, 186), "control": (610, 210), "F'": (620, 223)}


def outcome(attack: str, right: int, total: int = 1000, eps: float | None = None) -> Outcome:
    return Outcome(attack, f"{attack} in words", eps, 1, (np.arange(total) < right).astype(np.int64))


def subject(
    role: Role, name: str = "resnet56", macs: int = 125_485_000, params: int = 853_018, ms: float = 2.0
) -> Subject:
    outcomes = tuple(
        outcome(attack, right, eps=8 / 255 if attack == "fgsm" else None) for attack, right in RIGHT[role].items()
    )
    curve = tuple(outcome("fgsm", right, eps=eps) for right, eps in zip(CURVE[role], (2 / 255, 8 / 255), strict=True))
    return Subject(role, name, macs, params, ms, outcomes, curve)


def comparison(
    f: Mapping[str, Numbers],
    control: Mapping[str, Numbers] | None = None,
    *,
    images: int = 1000,
    name: str = "resnet56",
) -> Comparison:
    """F, F′ and, when there are numbers against it, the control; p-values are corrected for their number."""
    subjects = [subject("F", name), subject("F'", name, 62_742_500, 426_509, 1.5)]
    if control is not None:
        subjects.insert(1, subject("control", name))
    against: list[tuple[Versus, Mapping[str, Numbers]]] = [("F", f), ("control", control or {})]
    cells = [(attack, versus, numbers) for versus, of in against for attack, numbers in of.items()]
    corrected = holm([p for _, _, (*_, p) in cells])
    deltas = [delta(*cell, adjusted) for cell, adjusted in zip(cells, corrected, strict=True)]
    return Comparison(tuple(subjects), tuple(deltas), images, "cifar10/test", 3)


def delta(attack: str, versus: Versus, numbers: Numbers, adjusted: float) -> Delta:
    """The bootstrap interval a little narrower than the other; 1.2 points would show."""
    points, low, high, p = numbers
    smallest = 1.2 if math.isfinite(points) else math.nan
    return Delta(attack, versus, points, low, high, p, low + 0.02, high - 0.02, smallest, adjusted)


def checked(made: Comparison, *findings: Finding) -> Comparison:
    """The same with ``findings`` about F′, none about the others, and everyone's calibration."""
    sureness = Calibration(500, 1.7, 0.0412, 0.3014, 0.0098, 0.2445)
    return replace(
        made,
        subjects=tuple(
            replace(s, checks=Checks(200, findings if s.role == "F'" else ()), calibration=sureness)
            for s in made.subjects
        ),
    )


def every(numbers: Numbers, clean: Numbers = CLEAN) -> dict[str, Numbers]:
    """The same numbers for each attack, and those for clean images."""
    return {"semantic": numbers, "occlusion": numbers, "fgsm": numbers, "clean": clean}


def on_clean(made: Comparison, better: int, worse: int) -> Comparison:
    """The same, with F′ alone right on ``better`` of the clean images, and the others alone on ``worse``."""

    def clean(wrong: slice) -> Outcome:
        right = np.ones(made.images, np.int64)
        right[wrong] = 0
        return Outcome("clean", "clean in words", None, 1, right)

    theirs, ours = clean(slice(0, better)), clean(slice(better, better + worse))
    subjects = [
        replace(
            s, outcomes=tuple((ours if s.role == "F'" else theirs) if o.attack == "clean" else o for o in s.outcomes)
        )
        for s in made.subjects
    ]
    return replace(made, subjects=tuple(subjects))


NAN: Numbers = (math.nan, math.nan, math.nan, math.nan)
