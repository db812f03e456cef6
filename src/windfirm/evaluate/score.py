"""How far a paired difference may be from the one observed: the score test, and the interval of all that it lets pass.

Tango (Statistics in Medicine 1998) for two networks that differ on an image by +1, 0 or -1; other differences are
counted as so many of a size between. The variance is the one that the tested difference would have, so that the test
means what it says where few images differ, or only one way.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from windfirm.evaluate.intervals import normal_quantile

#: How often the distance to an end of the interval is cut in half: more digits than float64 has.
HALVINGS = 60


def paired_interval(differences: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """An interval for the mean of ``differences`` (n,) in [-1, 1], one an image.

    It needs no draws of its own, covers well when few images differ, and does not shrink to a point when none does. For
    several draws an image it is a little wide.
    """
    images, plus, minus, size = _counted(differences)
    z = normal_quantile(level)
    return -size * _farthest(images, minus, plus, z), size * _farthest(images, plus, minus, z)


def equivalence(differences: NDArray[np.float64], margin: float) -> float:
    """The p-value of the hypothesis that the true mean of ``differences`` (n,) is ``margin`` or more, either way.

    Two one-sided tests, the larger of their p-values (Schuirmann, J. Pharmacokinetics and Biopharmaceutics 1987). Below
    0.05 the 90 % interval lies within the margin.
    """
    images, plus, minus, size = _counted(differences)
    border = min(margin / size, 1.0)
    return float(special.ndtr(max(_score(images, plus, minus, border), _score(images, minus, plus, border))))


def _farthest(images: int, plus: float, minus: float, z: float) -> float:
    """The largest true mean that the score test, with a border of ``z`` deviations, does not reject; at most 1."""
    inside, outside = (plus - minus) / images, 1.0
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if _score(images, plus, minus, middle) >= -z else (inside, middle)
    return inside


def _counted(differences: NDArray[np.float64]) -> tuple[int, float, float, float]:
    """How many images; how many differ by +size and by -size, with the same sum; and that size, in (0, 1].

    It is the mean size, each weighted by itself, of those observed and of one full difference that was not: with it the
    sum has the variance that it was seen to have, or a little more.
    """
    up, down = float(differences.clip(min=0).sum()), float(-differences.clip(max=0).sum())
    size = (float((differences**2).sum()) + 1) / (up + down + 1)
    return len(differences), up / size, down / size, size


def _score(images: int, plus: float, minus: float, mean: float) -> float:
    """How many standard deviations ``plus`` - ``minus`` is above what a true ``mean`` in [-1, 1] lets one expect.

    The deviation is that of the likeliest shares of +1 and -1 with this mean.
    """
    linear = (2 * images - plus + minus) * mean - plus - minus
    root = math.sqrt(max(linear**2 + 8 * images * minus * mean * (1 - mean), 0.0))  # never below 0 but by rounding
    least = (root - linear) / (4 * images)
    variance = images * (2 * least + mean * (1 - mean))
    above = plus - minus - images * mean
    return above / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, above) if above else 0.0
