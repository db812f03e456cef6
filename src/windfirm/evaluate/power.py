"""What so many images could have shown: the smallest difference that the paired test would probably have found."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from windfirm.errors import InputError, expected
from windfirm.evaluate.intervals import normal_quantile
from windfirm.evaluate.outcome import Outcome
from windfirm.evaluate.paired import per_image

#: The chance with which the smallest difference would have been found.
POWER = 0.8


def smallest(ours: Outcome, theirs: Outcome, level: float = 0.05, power: float = POWER) -> float:
    """The smallest difference in percentage points that sign_flip finds at ``level`` with a chance of ``power``.

    It is taken for as many differing images, with differences as large, as were observed, and infinite where so few
    images can show none; see smallest_difference.
    Raises InputError unless both were measured on as many images.
    """
    differences, draws = per_image(ours, theirs)
    return 100 * smallest_difference(differences / draws, level, power)


def smallest_of(images: int, share: float, level: float = 0.05, power: float = POWER) -> float:
    """The smallest difference in percentage points on ``images`` of which ``share`` is right for one network only.

    For planning: 1,000 images of which 10 % differ show 2.9 points or more. Raises InputError for a share outside
    [0, 1].
    """
    if not (0 <= share <= 1 and images >= 1):
        raise InputError(
            expected("smallest difference", "images and a share of them in [0, 1]", f"{images} and {share}")
        )
    differing = share * images
    return 100 * _smallest(images, differing, differing, differing, 1.0, level, power)


def smallest_difference(differences: NDArray[np.float64], level: float = 0.05, power: float = POWER) -> float:
    """The smallest mean of ``differences`` (n,) in [-1, 1] that sign_flip finds at ``level`` with ``power``.

    The sizes are taken as they are, as the test does, and each sign as positive with the same chance (1 + r) / 2, which
    makes the mean r·A/n with A = Σ|d|. Without a difference the sum has the variance Q = Σd², with it (1 - r²)·Q. So
    the sum passes the border of the test, c = z(level)·√Q + g with g half the distance of two possible sums, as often
    as asked where r·A - c = z(power)·√((1 - r²)·Q); solved for r. For differences of -1, 0 and 1 both are the number of
    images on which the networks differ, and this is the power of McNemar's test (Miettinen, Biometrics 1968) given that
    number. Where so few images differ that not even r = 1 would be found, more of the same are taken, until it just
    would; infinite where there are not as many. One image of a full difference stands for those where none was seen.
    """
    sizes = np.abs(differences[differences != 0])
    if len(sizes) == 0:
        sizes = np.ones(1)
    # The sizes are multiples of one over the number of draws; the smallest stands for their unit.
    total, squares = float(sizes.sum()), float((sizes**2).sum())
    return _smallest(len(differences), len(sizes), total, squares, float(sizes.min()), level, power)


def _smallest(
    images: int, differing: float, total: float, squares: float, step: float, level: float, power: float
) -> float:
    if total == 0:
        differing = total = squares = 1.0
    z, z_power = normal_quantile(1 - level), float(special.ndtri(power))
    border = z * math.sqrt(squares) + step
    if total < border:
        root = (z * math.sqrt(squares) + math.sqrt(z * z * squares + 4 * total * step)) / (2 * total)
        return root * root * total / images if root * root * differing <= images else math.inf
    slack = z_power**2 * squares
    ratio = (total * border + math.sqrt(slack * (total**2 + slack - border**2))) / (total**2 + slack)
    return min(ratio * total / images, 1.0)
