"""A comparison in words: what its figures allow one to say.

The sentences never claim more than the statistics: a difference is named only when its exact paired p-value, corrected
for the number of tests, is below 0.05 and its 95 % interval leaves out zero; a loss of clean accuracy is admitted as
soon as either of the two says so, uncorrected, and is always said first.
"""

import math
from typing import get_args

from windfirm.errors import InputError, expected
from windfirm.evaluate.compare import LEVEL, Comparison, Delta, Role, Subject, Verdict, Versus
from windfirm.evaluate.inequality import Inequality, inequality
from windfirm.evaluate.warnings import harm
from windfirm.report import words


def subject(comparison: Comparison, role: Role) -> Subject | None:
    """The network that plays ``role`` (``F``, ``control`` or ``F'``), if it took part."""
    return next((subject for subject in comparison.subjects if subject.role == role), None)


def pair(comparison: Comparison) -> tuple[Subject, Subject]:
    """F and F′. Raises InputError when one of them, or its accuracy on clean images, is missing."""
    f, pruned = subject(comparison, "F"), subject(comparison, "F'")
    if f is None or pruned is None:
        roles = words.listing([subject.role for subject in comparison.subjects])
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


def answer(comparison: Comparison) -> list[str]:
    """The poster's question, answered in sentences that the numbers support.

    In this order: what happened to clean accuracy; whether F′ is more robust than F and than the control; the
    inequality as a whole; how many tests that took and what the correction for it changed; what all this cannot show.
    Raises InputError when F, F′ or their clean accuracy is missing.
    """
    sentences = [_clean(comparison), _robust(comparison), _whole(comparison), _tests(comparison), _limits(comparison)]
    return [sentence for sentence in sentences if sentence]


def doubts(comparison: Comparison) -> list[str]:
    """The reasons to doubt the training and the measurements of each network, one line each.

    One line when nothing was found in the outputs, where that was looked for.
    """
    checked = [network for network in comparison.subjects if network.checks]
    lines = [
        f"Warning, {words.prime(network.role)}: {finding.kind}: {finding.text}."
        for network in checked
        if network.checks
        for finding in network.checks.findings
    ]
    if checked and not lines:
        counts = words.listing(
            [f"{n:,}" for n in sorted({network.checks.images for network in checked if network.checks})]
        )
        who = words.listing([words.prime(network.role) for network in checked])
        lines = [f"Checks of gradients and outputs on {counts} images found no reason to doubt {who}."]
    return [*_training(comparison), *lines]


def _training(comparison: Comparison) -> list[str]:
    clean = {
        network.role: outcome
        for network in comparison.subjects
        for outcome in network.outcomes
        if outcome.attack == "clean"
    }
    if not {"F", "control"} <= clean.keys():
        return []
    return [f"Warning, control: {found.kind}: {found.text}." for found in harm(clean["control"], clean["F"])]


def _clean(comparison: Comparison) -> str:
    f, pruned = (100 * _accuracy(network, "clean") for network in pair(comparison))
    facts = f"{words.decimal(f)} % for F, {words.decimal(pruned)} % for F′"
    delta = find(comparison, "clean", "F")
    if delta is None:
        return f"Clean accuracy is {facts}, without a test of the difference."
    ends = words.interval(delta.low, delta.high)
    numbers = f"{facts} ({words.signed(delta.points)} points, 95 % interval {ends}, {words.p_phrases(delta)})"
    if delta.lost:
        said = f"F′ is less accurate on clean images: {numbers}"
    elif delta.verdict == "more":
        said = f"F′ is more accurate on clean images: {numbers}"
    else:
        said = f"Clean accuracy shows no difference that {comparison.images:,} images can show: {numbers}"
        said += f"; {words.smallest(delta, ' points')} would show"
        if delta.low < 0:
            said += f", and a loss of up to {words.decimal(-delta.low)} cannot be ruled out"
    control = find(comparison, "clean", "control")
    if control and control.lost:
        points = words.signed(control.points)
        said += f"; against the control the difference is {points} points ({words.p_phrases(control)})"
    return f"{said}."


def _robust(comparison: Comparison) -> str:
    if not attacks(comparison):
        return "No attack was measured: nothing is known about robustness."
    who = f"the pruned {pair(comparison)[0].name}"
    said = f"On these {comparison.images:,} images, compared with F, {_against(comparison, 'F', who)}"
    if subject(comparison, "control") is None:
        return f"{said}. No control was measured, so the cut cannot be told from any training that followed it."
    control = _against(comparison, "control", "it")
    said += f"; compared with the control, which had the same extra training, {control}."
    unexplained = [a for a in _named(comparison, "F", "more") if a not in _named(comparison, "control", "more")]
    if unexplained:
        said += f" What F′ gained over F under {words.listing(unexplained)} may be the extra training alone."
    return said


def _against(comparison: Comparison, versus: Versus, who: str) -> str:
    """``who is more robust to … and less robust to …, with no difference … under …``."""

    def names(chosen: Verdict) -> str:
        deltas = [find(comparison, attack, versus) for attack in _named(comparison, versus, chosen)]
        return words.listing([f"{d.attack} ({words.signed(d.points)} points{_would_show(d)})" for d in deltas if d])

    claims = [f"{way} robust to {some}" for way, some in (("more", names("more")), ("less", names("less"))) if some]
    same, open_ = "no difference that this many images can show", names("none shown")
    if not claims:
        return f"there is {same} under {open_}" if open_ else "nothing was tested"
    return f"{who} is {' and '.join(claims)}" + (f", with {same} under {open_}" if open_ else "")


def _would_show(delta: Delta) -> str:
    return f"; {words.smallest(delta)} would show" if delta.verdict == "none shown" else ""


def _whole(comparison: Comparison) -> str:
    """The inequality as one statement, both halves."""
    tried = attacks(comparison)
    if not tried or find(comparison, "clean", "F") is None:
        return ""
    found = inequality(comparison)
    up, down = words.listing(found.more), words.listing(found.less)
    said = "The poster’s inequality, Acc_adv(F′) > Acc_adv(F) while Acc_clean(F′) ≈ Acc_clean(F), "
    close = _close(found)
    if found.lost and not found.close:
        return f"{said}does not hold here: clean accuracy was lost; {close}."
    if not found.more:
        reason = f"F′ is less robust to {down}" if found.less else "no attack shows a gain over F"
        return f"{said}{'does not hold' if found.less else 'is not shown'} here: {reason}; {close}."
    if found.answer == "first half only":
        return f"{said}is shown in its first half only, under {up}; {close}."
    if found.answer == "holds":
        said += f"holds here under {f'every attack measured ({up})' if len(found.more) > 1 else up}"
    else:
        parts = [f"holds here under {up} only"]
        parts += [f"fails under {down}"] if down else []
        parts += [f"is open under {words.listing(found.open)}"] if found.open else []
        said += ", ".join(parts)
    if subject(comparison, "control") is None:
        return f"{said}; {close}."
    kept = [attack for attack in found.more if attack in _named(comparison, "control", "more")]
    if not kept:
        return f"{said}, but with the control in the place of F it is shown under none of them; {close}."
    return f"{said}; with the control in the place of F its first half is shown under {words.listing(kept)}; {close}."


def _close(found: Inequality) -> str:
    """How ≈ was decided."""
    width = f"{found.margin:g} {'point' if found.margin == 1 else 'points'}"
    said = f"≈ means within ±{width}, which two one-sided tests {'show' if found.close else 'do not show'}"
    said += f" ({words.p_phrase(found.p)})"
    if found.close and found.lost:
        return f"{said}, though clean accuracy was lost"
    if found.rose and not found.close:
        return f"{said}, and clean accuracy rose, which counts as well"
    return said


def _tests(comparison: Comparison) -> str:
    """How many tests the table holds, and what the correction for that took away."""
    deltas = [delta for delta in comparison.deltas if math.isfinite(delta.p)]
    count = len(deltas)
    if not deltas:
        return ""
    if count == 1:
        said = f"One test was made, at p < {LEVEL:g}."
    else:
        said = f"{count} tests were made; a difference is named where p < {LEVEL:g} after Holm’s correction for all."
        unnamed = [d for d in deltas if d.verdict == "none shown"]
        fallen = [d for d in unnamed if d.p < LEVEL <= d.adjusted and not d.low <= 0 <= d.high]
        lost = [(v, words.listing([d.attack for d in fallen if d.versus == v])) for v in rivals(comparison)]
        differ = "; ".join(f"F′ − {versus} in {names}" for versus, names in lost if names)
        said += (
            f" Without it {differ} would be named as well." if differ else " Without it nothing more would be named."
        )
    if any(delta.verdict == "none shown" for delta in deltas):
        said += " ‘Would show’ is said of a difference that is found four times in five."
    return said


def _limits(comparison: Comparison) -> str:
    said = (
        "Intervals and p-values speak for other images of the same kind, not for other trainings of these networks "
        f"(one seed, {comparison.seed}) and not for attacks that were not run."
    )
    tried = attacks(comparison)
    if "fgsm" in tried and not any(attack.startswith(words.ITERATIVE) for attack in tried):
        said += " FGSM takes a single step: accuracy under it says nothing yet about iterative attacks such as PGD."
    return said


def _accuracy(network: Subject, attack: str) -> float:
    return next((outcome.accuracy for outcome in network.outcomes if outcome.attack == attack), math.nan)


def _named(comparison: Comparison, versus: Versus, verdict: Verdict) -> list[str]:
    """The attacks under which this is the verdict on F′ − ``versus``."""
    deltas = ((attack, find(comparison, attack, versus)) for attack in attacks(comparison))
    return [attack for attack, delta in deltas if delta and delta.verdict == verdict]
