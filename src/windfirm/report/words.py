"""A comparison in words and numbers: how each figure is written, and what the figures allow one to say.

The sentences never claim more than the statistics: a difference is named only when its exact paired p-value is below
0.05 and its 95 % interval leaves out zero; a loss of clean accuracy is admitted as soon as either of the two says so,
and is always said first.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import get_args

from windfirm.errors import InputError, expected
from windfirm.evaluate.compare import Comparison, Delta, Role, Subject, Versus

#: A difference with a p-value below this is named, if its interval agrees.
LEVEL = 0.05
#: Percentage points of clean accuracy: ``≈`` counts as shown when a loss larger than this is ruled out.
CLOSE = 1.0
#: What stands where there is no number.
NONE = "–"
#: Attacks that take many steps; beside them a single-step gain needs no warning.
ITERATIVE = ("pgd", "apgd", "auto", "square")


def decimal(value: float, digits: int = 2) -> str:
    """``-1.204`` as ``−1.20`` with a true minus; what rounds to nothing has no sign; no number is a dash."""
    if not math.isfinite(value):
        return NONE
    text = f"{abs(value):.{digits}f}"
    return f"−{text}" if value < 0 and float(text) else text


def signed(value: float, digits: int = 2) -> str:
    """``+1.58``, ``−0.60`` or ``0.00``: a difference inside a sentence."""
    text = decimal(value, digits)
    return f"+{text}" if math.isfinite(value) and value > 0 and float(text) else text


def poster(points: float) -> str:
    """``(+) 1.58``, ``(−) 0.60``, and ``(±) 0.00`` for what rounds to nothing: a difference in the poster's tables."""
    text = signed(points)
    if text == NONE:
        return NONE
    return f"({text[0]}) {text[1:]}" if text[0] in "+−" else f"(±) {text}"


def probability(p: float) -> str:
    """A p-value to three places: ``0.013``, ``<0.001``, ``1.000``."""
    if not math.isfinite(p):
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def p_phrase(p: float) -> str:
    """A p-value inside a sentence: ``p = 0.013`` or ``p < 0.001``."""
    text = probability(p)
    return f"p < {text[1:]}" if text.startswith("<") else f"p = {text}"


def interval(delta: Delta) -> str:
    """The 95 % interval in percentage points: ``−1.20 to +0.40``, or a dash where there is none."""
    if not (math.isfinite(delta.low) and math.isfinite(delta.high)):
        return NONE
    return f"{signed(delta.low)} to {signed(delta.high)}"


def quantity(value: float) -> str:
    """A count in four digits with its unit: ``125.5 M``, ``61.20 M``, ``64``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.{4 - len(str(int(value / size)))}f} {unit}"
    return f"{value:.0f}"


def change(before: float, after: float) -> str:
    """The change from ``before`` to ``after`` in percent: ``−50.1 %``."""
    if not (math.isfinite(before) and math.isfinite(after)) or before <= 0:
        return NONE
    return f"{signed(100 * (after / before - 1), 1)} %"


def listing(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def prime(role: str) -> str:
    """A role as it is printed: ``F'`` with a true prime."""
    return role.replace("'", "′")


def subject(comparison: Comparison, role: Role) -> Subject | None:
    """The network that plays ``role`` (``F``, ``control`` or ``F'``), if it took part."""
    return next((subject for subject in comparison.subjects if subject.role == role), None)


def pair(comparison: Comparison) -> tuple[Subject, Subject]:
    """F and F′. Raises InputError when one of them, or its accuracy on clean images, is missing."""
    f, pruned = subject(comparison, "F"), subject(comparison, "F'")
    if f is None or pruned is None:
        roles = listing([subject.role for subject in comparison.subjects])
        raise InputError(expected("comparison", "the networks F and F'", roles or "none"))
    for network in (f, pruned):
        if all(outcome.attack != "clean" for outcome in network.outcomes):
            raise InputError(expected(f"comparison, {network.role}", "an outcome on clean images", "none"))
    return f, pruned


def attacks(comparison: Comparison) -> tuple[str, ...]:
    """The attacks in the order they were measured, without ``clean``."""
    return tuple(outcome.attack for outcome in pair(comparison)[0].outcomes if outcome.attack != "clean")


def find(comparison: Comparison, attack: str, versus: Versus) -> Delta | None:
    """The measured difference F′ − ``versus`` under ``attack``, if there is one."""
    return next((d for d in comparison.deltas if (d.attack, d.versus) == (attack, versus)), None)


def rivals(comparison: Comparison) -> tuple[Versus, ...]:
    """What F′ is measured against: ``F``, and ``control`` where one was trained."""
    return tuple(versus for versus in get_args(Versus) if subject(comparison, versus))


def better(delta: Delta) -> bool:
    """F′ is ahead, beyond chance at the 5 % level."""
    return delta.p < LEVEL and delta.low > 0


def worse(delta: Delta) -> bool:
    """F′ is behind, beyond chance at the 5 % level."""
    return delta.p < LEVEL and delta.high < 0


def lost(delta: Delta) -> bool:
    """F′ is behind by its p-value or by its interval: what suffices to admit a loss."""
    return delta.points < 0 and (delta.p < LEVEL or delta.high < 0)


def survivors(deltas: Iterable[Delta]) -> list[Delta]:
    """The differences that stay below the 5 % level after Holm's step-down correction (1979) for all of them."""
    ordered = sorted(deltas, key=lambda delta: delta.p)
    for i, delta in enumerate(ordered):
        if delta.p * (len(ordered) - i) >= LEVEL:
            return ordered[:i]
    return ordered


def answer(comparison: Comparison) -> list[str]:
    """The poster's question, answered in sentences that the numbers support.

    In this order: what happened to clean accuracy; whether F′ is harder to fool than F and than the control; the
    inequality as a whole; how many tests that took and what survives correcting for it; what all this cannot show.
    Raises InputError when F, F′ or their clean accuracy is missing.
    """
    sentences = [_clean(comparison), _robust(comparison), _whole(comparison), _tests(comparison), _limits(comparison)]
    return [sentence for sentence in sentences if sentence]


def _clean(comparison: Comparison) -> str:
    f, pruned = (100 * _accuracy(network, "clean") for network in pair(comparison))
    facts = f"{decimal(f)} % for F, {decimal(pruned)} % for F′"
    delta = find(comparison, "clean", "F")
    if delta is None:
        return f"Clean accuracy is {facts}, without a test of the difference."
    numbers = f"{facts} ({signed(delta.points)} points, 95 % interval {interval(delta)}, {p_phrase(delta.p)})"
    if lost(delta):
        said = f"F′ lost clean accuracy: {numbers}"
    elif better(delta):
        said = f"Clean accuracy rose: {numbers}"
    else:
        said = f"Clean accuracy shows no difference that {comparison.images:,} images can show: {numbers}"
        if delta.low < 0:
            said += f"; a loss of up to {decimal(-delta.low)} points cannot be ruled out"
    control = find(comparison, "clean", "control")
    if control and lost(control):
        said += f"; against the control the difference is {signed(control.points)} points ({p_phrase(control.p)})"
    return f"{said}."


def _robust(comparison: Comparison) -> str:
    if not attacks(comparison):
        return "No attack was measured: nothing is known about robustness."
    who = f"the pruned {pair(comparison)[0].name}"
    said = f"On these {comparison.images:,} images, compared with F, {_against(comparison, 'F', who)}"
    if subject(comparison, "control") is None:
        return f"{said}. No control was trained, so the cut cannot be told from the extra training that followed it."
    control = _against(comparison, "control", "it")
    said += f"; compared with the control, which had the same extra training, {control}."
    unexplained = [a for a in _named(comparison, "F", better) if a not in _named(comparison, "control", better)]
    if unexplained:
        said += f" What F′ gained over F under {listing(unexplained)} may be the extra training alone."
    return said


def _against(comparison: Comparison, versus: Versus, who: str) -> str:
    """``who is harder to fool by … and easier to fool by …, with no difference … under …``."""

    def names(chosen: list[str]) -> str:
        deltas = [find(comparison, attack, versus) for attack in chosen]
        return listing([f"{delta.attack} ({signed(delta.points)} points)" for delta in deltas if delta])

    up, down = _named(comparison, versus, better), _named(comparison, versus, worse)
    open_ = [a for a in attacks(comparison) if find(comparison, a, versus) and a not in (*up, *down)]
    claims = [f"{way} to fool by {names(some)}" for way, some in (("harder", up), ("easier", down)) if some]
    same = "no difference that this many images can show"
    if not claims:
        return f"there is {same} under {names(open_)}" if open_ else "nothing was tested"
    return f"{who} is {' and '.join(claims)}" + (f", with {same} under {names(open_)}" if open_ else "")


def _whole(comparison: Comparison) -> str:
    """The inequality as one statement, both halves."""
    tried = attacks(comparison)
    delta = find(comparison, "clean", "F")
    if not tried or delta is None:
        return ""
    up, down = _named(comparison, "F", better), _named(comparison, "F", worse)
    inequality = "The poster’s inequality, Acc_adv(F′) > Acc_adv(F) while Acc_clean(F′) ≈ Acc_clean(F),"
    if lost(delta):
        return f"{inequality} does not hold here: clean accuracy was lost."
    if not up:
        reason = f"F′ is easier to fool by {listing(down)}" if down else "no attack shows a gain over F"
        return f"{inequality} {'does not hold' if down else 'is not shown'} here: {reason}."
    if delta.low < -CLOSE:
        doubt = f"a clean loss of more than {CLOSE:g} point is not ruled out"
        return f"{inequality} is shown in its first half only, under {listing(up)}: {doubt}."
    if len(up) == len(tried):
        said = f"{inequality} holds here under {'all ' if len(up) > 1 else ''}{listing(up)}"
    else:
        rest = [a for a in tried if a not in (*up, *down)]
        parts = [f"holds here under {listing(up)} only"]
        parts += [f"fails under {listing(down)}"] if down else []
        parts += [f"is open under {listing(rest)}"] if rest else []
        said = f"{inequality} {', '.join(parts)}"
    if subject(comparison, "control") is None:
        return f"{said}."
    kept = [a for a in up if a in _named(comparison, "control", better)]
    if not kept:
        return f"{said}, but with the control in the place of F it is shown under none of them."
    return f"{said}; with the control in the place of F its first half is shown under {listing(kept)}."


def _tests(comparison: Comparison) -> str:
    """How many tests the table holds, and which of them outlive the correction for that."""
    deltas = [delta for delta in comparison.deltas if math.isfinite(delta.p)]
    if not deltas:
        return ""
    count = len(deltas)
    if count == 1:
        return f"One test was made, at p < {LEVEL:g}."
    left = survivors(deltas)
    kept = [(versus, listing([d.attack for d in left if d.versus == versus])) for versus in rivals(comparison)]
    stay = "; ".join(f"F′ − {versus} in {names}" for versus, names in kept if names)
    left_over = f"these differences stay: {stay}" if stay else "no difference stays"
    chance = f"were there no differences, {count * LEVEL:.2g} would pass by chance"
    said = f"{count} tests were made, each at p < {LEVEL:g}: {chance}."
    return f"{said} After Holm’s correction for all {count}, {left_over}."


def _limits(comparison: Comparison) -> str:
    said = (
        "Intervals and p-values speak for other images of the same kind, not for other trainings of these networks "
        f"(one seed, {comparison.seed}) and not for attacks that were not run."
    )
    tried = attacks(comparison)
    if "fgsm" in tried and not any(attack.startswith(ITERATIVE) for attack in tried):
        said += " FGSM takes a single step: accuracy under it says nothing yet about iterative attacks such as PGD."
    return said


def _accuracy(network: Subject, attack: str) -> float:
    return next((outcome.accuracy for outcome in network.outcomes if outcome.attack == attack), math.nan)


def _named(comparison: Comparison, versus: Versus, claim: Callable[[Delta], bool]) -> list[str]:
    """The attacks under which ``claim`` is true of F′ − ``versus``."""
    deltas = ((attack, find(comparison, attack, versus)) for attack in attacks(comparison))
    return [attack for attack, delta in deltas if delta and claim(delta)]
