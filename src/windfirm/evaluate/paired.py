"""Two networks on the same images: the difference, how sure it is, and whether chance alone would do."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from windfirm import seeds
from windfirm.errors import InputError, expected
from windfirm.evaluate.bootstrap import bootstrap
from windfirm.evaluate.outcome import Outcome
from windfirm.evaluate.score import paired_interval


@dataclass(frozen=True)
class Difference:
    """``points``: percentage points with a sign; ``low`` and ``high``: their 95 % interval; ``p``: exact, two-sided.

    ``boot_low`` and ``boot_high``: a second 95 % interval, by bootstrap; it assumes no shape and serves as a check.
    """

    points: float
    low: float
    high: float
    p: float
    boot_low: float
    boot_high: float


def difference(ours: Outcome, theirs: Outcome, *, seed: int = 0) -> Difference:
    """Accuracy of ``ours`` minus accuracy of ``theirs``, image by image; ``seed`` is that of the bootstrap.

    Raises InputError unless both are of the same attack, with as many draws, on as many images.
    """
    check_same(ours, theirs)
    return contrast(ours, theirs, seed=seed)


def contrast(ours: Outcome, theirs: Outcome, *, seed: int = 0) -> Difference:
    """The same for any two outcomes on the same images, such as those of two attacks on one network."""
    differences, draws = per_image(ours, theirs)
    shares = differences / draws
    points = 100 * int(differences.sum()) / (len(differences) * draws)
    ends = (*paired_interval(shares), *bootstrap(shares, seeds.number(seed, "bootstrap", ours.attack)))
    low, high, boot_low, boot_high = (100 * end for end in ends)
    return Difference(points, low, high, sign_flip(differences), boot_low, boot_high)


def per_image(ours: Outcome, theirs: Outcome) -> tuple[NDArray[np.int64], int]:
    """First minus second for each image, (n,) int64, in units of one draw, and how many draws that counts.

    Raises InputError unless both were measured on as many images.
    """
    if len(ours.correct) != len(theirs.correct):
        got = f"{len(ours.correct)} and {len(theirs.correct)}"
        raise InputError(expected("difference", "as many images in both outcomes", got))
    draws = math.lcm(ours.trials, theirs.trials)
    return ours.correct * (draws // ours.trials) - theirs.correct * (draws // theirs.trials), draws


def sign_flip(differences: NDArray[np.int64]) -> float:
    """The exact two-sided p-value of the paired permutation test on integer ``differences`` (n,), one an image.

    If it did not matter which network is which, every difference would be as likely with the other sign. p is the share
    of the 2^n ways to choose signs whose sum is at least as far from zero as the one observed. For differences of -1, 0
    and 1 this is McNemar's exact test. The distribution is the convolution of one binomial for each absolute value:
    sums of products of probabilities, so that the smallest p has as many digits as any.
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if len(sizes) == 0:
        return 1.0
    unit = np.gcd.reduce(sizes)
    # Distribution of the sum over the images whose sign is plus, in units of their common divisor.
    positive = np.ones(1)
    for size, count in zip(sizes // unit, counts, strict=True):
        chosen = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        before, positive = positive, np.zeros(len(positive) + size * count)
        for rest in range(min(size, len(before))):  # sums that leave this rest when divided by size
            part = np.convolve(before[rest::size], chosen)
            positive[rest::size][: len(part)] = part
    sums = 2 * np.arange(len(positive)) - (len(positive) - 1)
    p = float(positive[np.abs(sums) >= abs(int(differences.sum())) // unit].sum())
    return min(max(p, 2.0 * 0.5 ** int(counts.sum())), 1.0)


def on_as_many_images(outcomes: Sequence[Outcome]) -> bool:
    """Whether a mean of ``outcomes`` can be formed, image by image."""
    return len({len(outcome.correct) for outcome in outcomes}) == 1


def mean_of(outcomes: Sequence[Outcome], name: str = "average") -> Outcome:
    """The mean of several attacks, image by image, each attack with the same weight; it is paired like any other.

    Raises InputError for outcomes that are not on_as_many_images.
    """
    if not on_as_many_images(outcomes):
        got = " and ".join(f"{len(outcome.correct)}" for outcome in outcomes) or "none"
        raise InputError(expected(name, "attacks on the same number of images", got))
    trials = math.lcm(*(outcome.trials for outcome in outcomes))
    correct = np.sum([outcome.correct * (trials // outcome.trials) for outcome in outcomes], axis=0)
    title = f"mean of {', '.join(outcome.attack for outcome in outcomes)}"
    return Outcome(name, title, None, trials * len(outcomes), correct)


def check_same(ours: Outcome, theirs: Outcome) -> None:
    """Raise InputError unless both outcomes are of the same attack, with as many draws, on as many images."""
    keys = [(o.attack, o.title, o.eps, o.trials, len(o.correct)) for o in (ours, theirs)]
    if keys[0] != keys[1]:
        got = " and ".join(f"{o.title} ({o.trials} draws, {len(o.correct)} images)" for o in (ours, theirs))
        raise InputError(expected("difference", "the same attack on the same images", got))
