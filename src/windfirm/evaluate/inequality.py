"""The poster's inequality as a whole: Acc_adv(F') > Acc_adv(F) while Acc_clean(F') ≈ Acc_clean(F)."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from windfirm.errors import InputError, expected
from windfirm.evaluate.compare import LEVEL, Comparison, Role, Versus
from windfirm.evaluate.outcome import Outcome
from windfirm.evaluate.paired import per_image
from windfirm.evaluate.score import equivalence

Answer = Literal["holds", "holds in part", "first half only", "not shown", "does not hold"]


@dataclass(frozen=True)
class Inequality:
    """Both halves of the inequality, with ``versus`` in the place of F.

    ``more``, ``less`` and ``open``: the attacks to which F' is more and less robust, and those under which nothing is
    shown. ``p``: that of the equivalence test of clean accuracy; ``close`` says whether it is shown to be the same
    within the margin, ``lost`` and ``rose`` whether a loss or a gain is shown as well, however small.
    """

    versus: Versus
    more: tuple[str, ...]
    less: tuple[str, ...]
    open: tuple[str, ...]
    margin: float
    p: float
    close: bool
    lost: bool
    rose: bool

    @property
    def answer(self) -> Answer:
        """``holds`` asks for a gain under every attack, ``holds in part`` under one; clean accuracy may rise."""
        if self.lost and not self.close:
            return "does not hold"
        if not self.more:
            return "does not hold" if self.less else "not shown"
        if not (self.close or self.rose):
            return "first half only"
        return "holds in part" if self.less or self.open else "holds"


def inequality(comparison: Comparison, versus: Versus = "F") -> Inequality:
    """The inequality with ``versus`` in the place of F. Raises InputError where clean accuracy was not compared."""
    deltas = {delta.attack: delta for delta in comparison.deltas if delta.versus == versus}
    if "clean" not in deltas:
        raise InputError(expected(f"inequality, {versus}", "a difference on clean images", "none"))
    clean = deltas["clean"]

    def under(verdict: str) -> tuple[str, ...]:
        return tuple(a for a, d in deltas.items() if a not in ("clean", "average") and d.verdict == verdict)

    p = equivalence(_clean(comparison, versus), comparison.margin / 100)
    more, less, neither = map(under, ("more", "less", "none shown"))
    rose = clean.verdict == "more"
    return Inequality(versus, more, less, neither, comparison.margin, p, p < LEVEL, clean.lost, rose)


def _clean(comparison: Comparison, versus: Versus) -> NDArray[np.float64]:
    """F' minus ``versus`` on each clean image, (n,)."""

    def of(role: Role) -> Outcome:
        outcomes = next(subject.outcomes for subject in comparison.subjects if subject.role == role)
        return next(outcome for outcome in outcomes if outcome.attack == "clean")

    differences, draws = per_image(of("F'"), of(versus))
    return differences / draws
