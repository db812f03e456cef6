import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from windfirm.errors import InputError
from windfirm.evaluate import Outcome, smallest_of
from windfirm.evaluate.paired import sign_flip
from windfirm.evaluate.power import smallest, smallest_difference


def found(images: int, share: float, difference: float, level: float, tries: int = 2_000) -> float:
    """How often McNemar's exact test finds a true difference, with ``share`` of the images discordant on average."""
    random = np.random.default_rng(0)
    gains = random.binomial(random.binomial(images, share, tries) if share < 1 else images, 1.0)
    better = random.binomial(gains, (1 + difference / share) / 2)
    p = np.minimum(2 * stats.binom.cdf(np.minimum(better, gains - better), gains, 0.5), 1)
    return float(np.mean(p < level))


@pytest.mark.parametrize(("images", "share"), [(200, 0.2), (1_000, 0.05), (1_000, 0.4), (10_000, 0.02)])
@pytest.mark.parametrize("level", [0.05, 0.05 / 8])
def test_four_times_in_five_it_is_found(images: int, share: float, level: float) -> None:
    difference = smallest_of(images, share, level) / 100
    assert 0.76 < found(images, share, difference, level) < 0.84
    assert found(images, share, 0.8 * difference, level) < 0.7


def test_by_hand() -> None:
    # Without the step, (1.960·√100 + 0.842·√(100 - 2.8²)) / 1000 = 2.77 points; the step of one image makes it 2.86.
    assert smallest_of(1_000, 0.1) == pytest.approx(2.866, abs=0.001)
    assert smallest_of(4_000, 0.1) == pytest.approx(smallest_of(1_000, 0.1) / 2, rel=0.04)


def test_fewer_than_six_differing_images_can_show_nothing() -> None:
    # Six images that all differ the same way have p = 2/64 < 0.05, five have 2/32.
    assert sign_flip(np.ones(6, int)) < 0.05 < sign_flip(np.ones(5, int))
    least = smallest_of(1_000, 0.0)
    assert 0.5 < least <= 0.6
    assert smallest_of(1_000, 0.003) == pytest.approx(least, rel=0.06)
    assert smallest_of(6, 0.0) == pytest.approx(100, abs=10)


@pytest.mark.parametrize(("images", "level"), [(1, 0.05), (5, 0.05), (8, 0.05 / 8)])
def test_where_not_even_all_images_together_would_show_nothing_would(images: int, level: float) -> None:
    assert sign_flip(np.ones(images, int)) > level
    assert smallest_of(images, 1.0, level) == math.inf == smallest_difference(np.ones(images), level)
    draws = np.arange(1, images + 1) / 10  # also where each image has several draws, of which some differ
    assert sign_flip(np.arange(1, images + 1)) > level
    assert smallest_difference(draws, level) == math.inf


def test_several_draws_an_image_are_found_as_often() -> None:
    random = np.random.default_rng(1)
    sizes: NDArray[np.int64] = np.abs(random.integers(-3, 4, 400)) * (random.random(400) < 0.3)
    mean = smallest_difference(sizes / 10)
    chance = (1 + mean * 400 / (sizes.sum() / 10)) / 2
    signs = np.where(random.random((400, 400)) < chance, 1, -1)
    hits = [sign_flip(row) < 0.05 for row in signs * sizes]
    assert 0.74 < np.mean(hits) < 0.86


def test_it_is_taken_from_two_outcomes() -> None:
    correct = np.zeros(1_000, np.int64)
    ours, theirs = correct.copy(), correct.copy()
    ours[:60], theirs[60:100] = 1, 1
    a, b = (Outcome("toy", "a toy", None, 1, values) for values in (ours, theirs))
    assert smallest(a, b) == smallest(b, a) == smallest_of(1_000, 0.1)


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InputError) as error:
        smallest_of(10, share)
    assert str(error.value) == f"smallest difference: expected images and a share of them in [0, 1], got 10 and {share}"
