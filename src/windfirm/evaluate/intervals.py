"""How far an accuracy can be off because the images are a sample."""

import math

from scipy import special

from windfirm.evaluate.outcome import Outcome


def wilson(count: float, total: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for ``count`` successes out of ``total``, in [0, 1] (Wilson, JASA 1927)."""
    z = normal_quantile(level)
    share = count / total
    centre = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def interval(outcome: Outcome, level: float = 0.95) -> tuple[float, float]:
    """An interval for the accuracy of ``outcome``, in [0, 1]; the images are the sample, not the draws.

    Draws of one image resemble each other, so n images times T draws are worth fewer than nT independent predictions:
    p(1 - p) / var(mean), the number whose binomial variance is the one observed between images (Kish's effective sample
    size). Wilson's interval is taken with that number; for one draw an image it is n, and the interval Wilson's own.
    """
    share = outcome.accuracy
    images = len(outcome.correct)
    between = float((outcome.correct / outcome.trials).var())
    effective = images * share * (1 - share) / between if between > 0 else math.inf
    effective = min(effective, outcome.total) if 0 < share < 1 else images
    return wilson(share * effective, effective, level)


def normal_quantile(level: float) -> float:
    """Half the width, in standard deviations, of the middle ``level`` of the normal distribution: 1.96 for 0.95."""
    return float(special.ndtri((1 + level) / 2))
