from collections import Counter

import numpy as np
import pytest
from scipy import stats

from tests.oracles import every_sign, mcnemar
from windfirm.errors import InputError
from windfirm.evaluate import Outcome, difference
from windfirm.evaluate.paired import contrast, mean_of, sign_flip


def outcome(correct: object, trials: int = 1, attack: str = "toy", eps: float | None = None) -> Outcome:
    return Outcome(attack, f"a {attack}", eps, trials, np.asarray(correct))


@pytest.mark.parametrize("seed", range(6))
def test_sign_flip_agrees_with_every_choice_of_signs(seed: int) -> None:
    random = np.random.default_rng(seed)
    for size, reach in ((1, 1), (7, 1), (9, 3), (12, 10)):
        differences = random.integers(-reach, reach + 1, size)
        assert sign_flip(differences) == pytest.approx(every_sign(differences.tolist()), rel=1e-12)
        assert sign_flip(differences * 6) == sign_flip(differences)


def test_the_smallest_p_has_all_its_digits() -> None:
    differences = np.repeat([31, 37, 41, 43], 40)
    differences[::9] *= -1
    ways = Counter([0])  # how many choices of signs have which sum
    for size in differences.tolist():
        ways = Counter({total + size: n for total, n in ways.items()}) + Counter(
            {total - size: n for total, n in ways.items()}
        )
    p = sum(n for total, n in ways.items() if abs(total) >= differences.sum()) / 2 ** len(differences)
    assert 1e-25 < p < 1e-24
    assert sign_flip(differences) == pytest.approx(p, rel=1e-12, abs=0)


@pytest.mark.parametrize(("size", "tilt"), [(5, 0.5), (200, 0.5), (10000, 0.5), (10000, 0.52), (10000, 0.9)])
def test_one_draw_an_image_is_mcnemars_exact_test(size: int, tilt: float) -> None:
    random = np.random.default_rng(2)
    ours, theirs = random.binomial(1, tilt, size), random.binomial(1, 0.5, size)
    assert difference(outcome(ours), outcome(theirs)).p == pytest.approx(mcnemar(ours, theirs), rel=1e-9)


def test_many_images_and_draws_agree_with_the_normal_limit() -> None:
    random = np.random.default_rng(3)
    differences = random.integers(-40, 42, 10000)
    # Sums are two apart, so the continuity correction is one.
    normal = 2 * stats.norm.sf((differences.sum() - 1) / (differences**2).sum() ** 0.5)
    assert 0.001 < normal < 0.2
    assert sign_flip(differences) == pytest.approx(normal, abs=1e-5)


def test_no_difference_has_p_1_and_an_interval_around_0() -> None:
    same = difference(outcome([1, 0, 1, 1]), outcome([1, 0, 1, 1]))
    assert (same.points, same.p) == (0.0, 1.0)
    assert same.low == -same.high < 0


def test_points_by_hand() -> None:
    ours, theirs = outcome([4, 4, 0, 2], 4), outcome([4, 2, 0, 1], 4)
    result = difference(ours, theirs)
    assert result.points == 100 * 3 / 16
    assert result.p == pytest.approx(0.5)  # of (±2, ±1), two choices of four reach 3
    assert result.low < result.points < result.high
    opposite = difference(theirs, ours)
    assert (opposite.points, opposite.low, opposite.high) == (-result.points, -result.high, -result.low)


@pytest.mark.parametrize("trials", [1, 4])
def test_two_equal_networks_are_told_apart_no_more_often_than_the_level(trials: int) -> None:
    random = np.random.default_rng(5)
    ps = []
    for _ in range(1_000):
        hard = random.beta(2, 1, 60)  # images differ in how hard they are, for both networks alike
        ps.append(sign_flip(random.binomial(trials, hard) - random.binomial(trials, hard)))
    for level in (0.01, 0.05, 0.2):
        error = (level * (1 - level) / 1_000) ** 0.5
        assert np.mean(np.array(ps) < level) < level + 2 * error


def test_the_bootstrap_stands_beside_the_interval_and_depends_on_the_seed_alone() -> None:
    random = np.random.default_rng(6)
    a, b = outcome(random.binomial(1, 0.7, 900)), outcome(random.binomial(1, 0.6, 900))
    found = difference(a, b, seed=1)
    assert (found.boot_low, found.boot_high) == pytest.approx((found.low, found.high), abs=0.5)
    assert found == difference(a, b, seed=1) != difference(a, b, seed=2)


def test_two_attacks_on_one_network_may_be_contrasted_but_not_on_other_images() -> None:
    one, other = outcome([2, 1, 0], 2, "one"), outcome([2, 3, 0], 3, "other")
    assert contrast(one, other).points == pytest.approx(100 * (1 + 0.5 - 2 / 3 - 1) / 3)
    with pytest.raises(InputError) as error:
        contrast(one, outcome([1, 1]))
    assert str(error.value) == "difference: expected as many images in both outcomes, got 3 and 2"


def test_the_mean_weighs_attacks_alike_and_keeps_the_images() -> None:
    mean = mean_of([outcome([10, 5, 0], 10, "semantic"), outcome([1, 1, 0], 1, "clean"), outcome([3, 0, 4], 4, "x")])
    assert mean.trials == 60
    assert mean.correct.tolist() == [20 + 20 + 15, 10 + 20, 20]
    assert mean.accuracy == pytest.approx((15 / 30 + 2 / 3 + 7 / 12) / 3)
    assert (mean.attack, mean.title, mean.eps) == ("average", "mean of semantic, clean, x", None)


@pytest.mark.parametrize(
    ("theirs", "got"),
    [
        (outcome([1, 0, 1]), "a toy (1 draws, 3 images)"),
        (outcome([1, 0], attack="other"), "a other (1 draws, 2 images)"),
        (outcome([1, 0], 2), "a toy (2 draws, 2 images)"),
        (outcome([1, 0], eps=0.1), "a toy (1 draws, 2 images)"),
    ],
)
def test_outcomes_that_cannot_be_compared_are_refused(theirs: Outcome, got: str) -> None:
    with pytest.raises(InputError) as error:
        difference(outcome([1, 0]), theirs)
    start = "difference: expected the same attack on the same images, got a toy (1 draws, 2 images) and "
    assert str(error.value) == start + got
