"""How numbers, verdicts and lists are written, everywhere alike."""

import math
from collections.abc import Sequence

from windfirm.attack.options import some
from windfirm.evaluate.compare import CLEAN, Delta

#: What stands where there is no number.
NONE = "–"
#: Attacks that take many steps; beside them a single-step gain needs no warning.
ITERATIVE = ("pgd", "apgd", "fab", "deepfool", "autoattack", "ensemble", "square")


def decimal(value: float, digits: int = 2) -> str:
    """``-1.204`` as ``−1.20`` with a true minus; what rounds to nothing has no sign; no number is a dash."""
    if not math.isfinite(value):
        return NONE
    text = f"{abs(value):.{digits}f}"
    return f"−{text}" if value < 0 and float(text) else text


def smallest(delta: Delta, unit: str = "") -> str:
    """What would show, as ``1.20``; ``none`` where so few images can show no difference at all."""
    return "none" if delta.smallest == math.inf else f"{decimal(delta.smallest)}{unit}"


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


def p_phrases(delta: Delta) -> str:
    """Both p-values inside a sentence: ``p = 0.013, corrected 0.104``; one where the correction changes nothing."""
    corrected = probability(delta.adjusted)
    return p_phrase(delta.p) + ("" if corrected == probability(delta.p) else f", corrected {corrected}")


def interval(low: float, high: float) -> str:
    """An interval in percentage points: ``−1.20 to +0.40``, or a dash where there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return NONE
    return f"{signed(low)} to {signed(high)}"


def verdict(delta: Delta) -> str:
    """What is shown of F′, in two or three words: ``more robust``, ``less accurate``, ``no difference shown``."""
    if not math.isfinite(delta.adjusted):
        return NONE
    quality = "accurate" if delta.attack in CLEAN else "often right" if delta.attack == "average" else "robust"
    return "no difference shown" if delta.verdict == "none shown" else f"{delta.verdict} {quality}"


def quantity(value: float) -> str:
    """A count in four digits with its unit: ``125.5 M``, ``61.20 M``, ``64``."""
    rounded = float(f"{value:.4g}")
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if rounded >= size:
            return f"{value / size:.{max(4 - len(str(int(rounded / size))), 0)}f} {unit}"
    return f"{value:.0f}"


#: ``1 filter``, ``1,024 filters``.
several = some


def change(before: float, after: float) -> str:
    """The change from ``before`` to ``after`` in percent: ``−50.1 %``."""
    if not (math.isfinite(before) and math.isfinite(after)) or before <= 0:
        return NONE
    return f"{signed(100 * (after / before - 1), 1)} %"


def duration(seconds: float) -> str:
    """Seconds as people say them: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def listing(parts: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def prime(role: str) -> str:
    """A role as it is printed: ``F'`` with a true prime."""
    return role.replace("'", "′")
