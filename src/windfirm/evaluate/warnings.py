"""What a good reviewer would doubt, found in outcomes: signs that an attack was too weak, or a training went wrong.

After Carlini et al., "On Evaluating Adversarial Robustness" (arXiv 2019, section 5) and Croce & Hein (ICML 2020). Every
finding rests on an exact paired test at the 1 % level and, where a trifle would be no reason for doubt, on a size.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from windfirm.attack.budget import show_eps
from windfirm.evaluate.holm import holm
from windfirm.evaluate.outcome import Outcome
from windfirm.evaluate.paired import contrast

#: A finding is reported below this p-value. A good network is looked at in many ways, so it is stricter than usual.
LEVEL = 0.01
#: More steps or restarts that take fewer percentage points than this have found nothing.
TRIFLE = 0.5
#: Percentage points by which APGD-CE and APGD-DLR may differ on a network with nothing to hide.
APART = 5.0
#: Percentage points of clean accuracy that extra training alone may cost.
HARM = 5.0
#: From this eps on accuracy must have fallen; nearly every network falls far sooner.
FALLEN = 8 / 255
#: From this eps on accuracy must be down to chance: every image can be made grey.
CHANCE = 127 / 255

#: The attacks that follow the gradient, from the weakest on.
SINGLE_STEP, ITERATIVE = ("fgsm",), ("pgd", "apgd-ce", "apgd-dlr", "apgd-t", "fab-t")


@dataclass(frozen=True)
class Finding:
    """One reason for doubt: its ``kind``, a word or two, and a sentence with the numbers."""

    kind: str
    text: str


@dataclass(frozen=True)
class Checks:
    """What was found on ``images`` images of a network; no findings means that it was looked for in vain."""

    images: int
    findings: tuple[Finding, ...]


def among(outcomes: Iterable[Outcome]) -> list[Finding]:
    """Everything that attacks of the same eps and norm on as many images of one network say about each other.

    They are told by their names: fgsm, pgd, apgd-ce, apgd-dlr, apgd-t, fab-t, square. Others are left out.
    """
    found: list[Finding] = []
    alike: dict[tuple[float, bool, int], dict[str, Outcome]] = {}
    for outcome in outcomes:
        if outcome.eps is not None:
            kind = outcome.eps, outcome.in_l2, len(outcome.correct)
            alike.setdefault(kind, {})[outcome.attack] = outcome
    for named in alike.values():
        single, iterative = ([named[name] for name in names if name in named] for names in (SINGLE_STEP, ITERATIVE))
        if "square" in named and iterative:  # a single step loses to many questions on any network
            found += black_box(named["square"], single + iterative)
        for one in single if iterative else []:
            found += one_step(one, iterative)
        if {"apgd-ce", "apgd-dlr"} <= named.keys():
            found += losses_apart(named["apgd-ce"], named["apgd-dlr"])
    return found


def black_box(square: Outcome, white_box: Sequence[Outcome]) -> list[Finding]:
    """An attack that sees only outputs must not beat those that see the gradient, taken together image by image."""
    return _beats(square, white_box, "black box beats white box", "outputs alone fool more than gradients do")


def left_over(square: Outcome, gradients: Outcome) -> list[Finding]:
    """``square``, of the images that ``gradients`` left alone: an attack that sees only outputs must fool hardly any.

    Told from so many on that a coin would not fall on one side as often, at the level of all findings here.
    """
    fooled = len(square.correct) - square.count
    if 2 * 0.5**fooled >= LEVEL:
        return []
    text = (
        f"{square.attack} fools {fooled} of the {len(square.correct)} images that {gradients.attack} leave at eps "
        f"{_eps(gradients)}: outputs alone find what gradients do not"
    )
    return [Finding("black box beats white box", text)]


def one_step(single: Outcome, iterative: Sequence[Outcome]) -> list[Finding]:
    """An attack of many steps must not lose to one of a single step."""
    return _beats(single, iterative, "one step beats many", "one step fools more than many do")


def losses_apart(ce: Outcome, dlr: Outcome) -> list[Finding]:
    """APGD must come to much the same by either loss: else one of them sees gradients that the other does not."""
    found = contrast(ce, dlr)
    if not (found.p < LEVEL and (found.low > APART or found.high < -APART)):
        return []
    text = (
        f"{ce.attack} leaves {_percent(ce)}, {dlr.attack} {_percent(dlr)}: more than {APART:g} points apart "
        f"(95 % interval of the difference {found.low:.1f} to {found.high:.1f})"
    )
    return [Finding("losses far apart", text)]


def still_helping(fewer: Outcome, more: Outcome, what: str) -> list[Finding]:
    """``more`` of ``what`` (steps, restarts, queries) must find hardly anything that ``fewer`` did not."""
    found = contrast(more, fewer)
    if not (found.p < LEVEL and found.points < -TRIFLE):
        return []
    text = (
        f"more {what} bring {more.attack} from {_percent(fewer)} down to {_percent(more)} (p = {found.p:.2g}): "
        f"the attack was not finished"
    )
    return [Finding(f"more {what} still help", text)]


def along(curve: Sequence[Outcome], labels: NDArray[np.int64]) -> list[Finding]:
    """One attack at several eps, in any order, on images with ``labels`` (n,): accuracy must fall, down to chance.

    Chance is what the best constant answer would get on these images. A rise is one only where it ends above chance:
    far below zero margin a network may answer anything. And accuracy that is down to chance has fallen, also where the
    images are too few for a test to show it.
    """
    points = sorted((outcome for outcome in curve if outcome.eps is not None), key=lambda outcome: outcome.eps or 0.0)
    if not points:
        return []
    chance = float(np.unique(labels, return_counts=True)[1].max() / len(labels))
    return [*_rises(points, chance), *_flat(points, chance), *_above_chance(points[-1], chance)]


def harm(control: Outcome, original: Outcome) -> list[Finding]:
    """On clean images the control must be about as good as F: else F′ may have lost to the training what it lacks."""
    found = contrast(control, original)
    if not (found.p < LEVEL and found.high < -HARM):
        return []
    text = (
        f"without any cut it leaves {_percent(control)} of clean images right, where F has {_percent(original)}: what "
        f"F′ lost may not be the cut's doing (95 % interval of the difference {found.low:.1f} to {found.high:.1f})"
    )
    return [Finding("the training does harm", text)]


def worst_of(outcomes: Sequence[Outcome]) -> Outcome:
    """The worst of several attacks for each image: the mean of the minimum, not the minimum of the means."""
    correct = np.min([outcome.correct / outcome.trials for outcome in outcomes], axis=0)
    names = " and ".join(dict.fromkeys(outcome.attack for outcome in outcomes))
    return Outcome(names, f"worst of {names}", outcomes[0].eps, 1, (correct == 1).astype(np.int64))


def above(outcome: Outcome, chance: float) -> float:
    """The p-value of an accuracy of ``chance`` or less; draws of one image count as one, right when all are."""
    right = int((outcome.correct == outcome.trials).sum())
    return float(stats.binom.sf(right - 1, len(outcome.correct), chance))


def _beats(weak: Outcome, strong: Sequence[Outcome], kind: str, said: str) -> list[Finding]:
    best = worst_of(strong)
    found = contrast(weak, best)
    if not (found.p < LEVEL and found.points < 0):
        return []
    text = f"{weak.attack} leaves {_percent(weak)}, {best.attack} {_percent(best)}: {said} (p = {found.p:.2g})"
    return [Finding(kind, text)]


def _rises(points: Sequence[Outcome], chance: float) -> list[Finding]:
    steps = list(pairwise(points))
    found = [contrast(larger, smaller) for smaller, larger in steps]
    return [
        Finding(
            "accuracy rises with eps",
            f"{larger.attack} leaves {_percent(smaller)} at eps {_eps(smaller)} but {_percent(larger)} at "
            f"{_eps(larger)} (p = {p:.2g} after correction for {len(steps)} steps)",
        )
        for (smaller, larger), difference, p in zip(steps, found, holm([one.p for one in found]), strict=True)
        if p < LEVEL and difference.points > 0 and above(larger, chance) < LEVEL
    ]


def _flat(points: Sequence[Outcome], chance: float) -> list[Finding]:
    first, last = points[0], points[-1]
    fallen = contrast(last, first)
    shown = fallen.p < LEVEL and fallen.points < 0
    if shown or (last.eps or 0) < FALLEN or first is last or max(above(end, chance) for end in (first, last)) >= LEVEL:
        return []
    text = (
        f"{first.attack} leaves {_percent(first)} at eps {_eps(first)} and {_percent(last)} at {_eps(last)}: "
        f"no fall is shown (p = {fallen.p:.2g})"
    )
    return [Finding("accuracy does not fall with eps", text)]


def _above_chance(last: Outcome, chance: float) -> list[Finding]:
    if (last.eps or 0) < CHANCE or (p := above(last, chance)) >= LEVEL:
        return []
    text = (
        f"{last.attack} leaves {_percent(last)} at eps {_eps(last)}, where any image can be made grey and "
        f"{100 * chance:.1f} % is chance (p = {p:.2g})"
    )
    return [Finding("accuracy above chance at large eps", text)]


def _percent(outcome: Outcome) -> str:
    return f"{100 * outcome.accuracy:.1f} %"


def _eps(outcome: Outcome) -> str:
    return show_eps(outcome.eps or 0.0)
