import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from windfirm.evaluate.score import equivalence, paired_interval

Sample = Callable[[np.random.Generator], NDArray[np.float64]]


def steps(better: int, worse: int, images: int) -> NDArray[np.float64]:
    """Differences of two networks of which one alone is right on ``better`` and the other alone on ``worse`` images."""
    return np.array([1.0] * better + [-1.0] * worse + [0.0] * (images - better - worse))


def score(better: int, worse: int, images: int, mean: float) -> float:
    """The score statistic with the likeliest shares that have this ``mean``, looked for, not solved for."""

    def surprise(down: float) -> float:
        shares = np.array([down + mean, down, 1 - 2 * down - mean])
        counts = np.array([better, worse, images - better - worse])
        return -float((counts * np.log(shares.clip(1e-300)))[counts > 0].sum())

    bounds = (max(0.0, -mean), (1 - mean) / 2)
    down = optimize.minimize_scalar(surprise, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    return (better - worse - images * mean) / math.sqrt(images * (2 * down + mean - mean**2))


@pytest.mark.parametrize(("better", "worse", "images"), [(30, 18, 400), (9, 2, 60), (3, 11, 50), (40, 41, 90)])
def test_the_ends_of_the_interval_are_where_the_score_test_starts_to_reject(
    better: int, worse: int, images: int
) -> None:
    low, high = paired_interval(steps(better, worse, images))
    assert score(better, worse, images, low) == pytest.approx(1.959964, abs=1e-4)
    assert score(better, worse, images, high) == pytest.approx(-1.959964, abs=1e-4)
    assert paired_interval(-steps(better, worse, images)) == pytest.approx((-high, -low), abs=1e-12)


def test_where_no_image_differs_it_has_a_width() -> None:
    # At the end δ all differ one way, if any: n·δ² / (δ - δ²) = z², so δ = z² / (n + z²).
    z2 = 1.959964**2
    assert paired_interval(steps(0, 0, 200)) == pytest.approx((-z2 / (200 + z2), z2 / (200 + z2)), rel=1e-5)
    assert paired_interval(steps(5, 0, 5)) == pytest.approx((1 - 2 * z2 / (5 + z2), 1), rel=1e-5)


@pytest.mark.parametrize(
    ("up", "down", "images"), [(0.10, 0.06, 200), (0.01, 0, 200), (0.02, 0, 100), (0.002, 0, 1_000), (0.05, 0.05, 500)]
)
def test_the_interval_covers_as_often_as_it_says(up: float, down: float, images: int) -> None:
    random = np.random.default_rng(4)
    draws = random.choice([1.0, 0.0, -1.0], (600, images), p=[up, 1 - up - down, down])
    hits = sum(low <= up - down <= high for low, high in map(paired_interval, draws))
    assert hits / 600 > 0.93


@pytest.mark.parametrize("hard", [0.02, 0.3, 1.0])
def test_several_draws_an_image_cover_as_often_at_least(hard: float) -> None:
    random = np.random.default_rng(5)
    hits = 0
    for _ in range(300):
        open_ = random.random(300) < hard  # on the others both networks are always right
        better, worse = (random.binomial(10, np.where(open_, p, 1)) for p in (0.6, 0.5))
        low, high = paired_interval((better - worse) / 10)
        hits += low <= hard * 0.1 <= high
    assert hits / 300 > 0.92


def test_differences_of_half_a_size_have_half_the_interval_when_they_are_many() -> None:
    whole, half = (np.array(paired_interval(size * steps(3_000, 2_500, 20_000))) for size in (1.0, 0.5))
    assert half == pytest.approx(whole / 2, rel=0.02)


def test_equivalence_is_two_one_sided_score_tests() -> None:
    tests = [stats.norm.sf(score(12, 17, 2_000, -0.01)), stats.norm.cdf(score(12, 17, 2_000, 0.01))]
    assert equivalence(steps(12, 17, 2_000), 0.01) == pytest.approx(max(tests), rel=1e-4)
    assert equivalence(steps(12, 17, 2_000), 1.0) == 0


@pytest.mark.parametrize(("up", "down", "images"), [(0.02, 0.03, 4_000), (0, 0.01, 200), (0, 0.01, 500)])
def test_a_loss_as_large_as_the_margin_passes_for_equal_at_most_one_time_in_twenty(
    up: float, down: float, images: int
) -> None:
    random = np.random.default_rng(0)
    found = random.multinomial(images, [up, down, 1 - up - down], 1_000)
    shown = np.mean([equivalence(steps(better, worse, images), 0.01) < 0.05 for better, worse, _ in found])
    assert shown < 0.05 + 2 * (0.05 * 0.95 / 1_000) ** 0.5


def test_equal_networks_are_mostly_shown_to_be_equal() -> None:
    random = np.random.default_rng(0)
    found = random.multinomial(4_000, [0.02, 0.02, 0.96], 300)
    assert np.mean([equivalence(steps(better, worse, 4_000), 0.01) < 0.05 for better, worse, _ in found]) > 0.8
