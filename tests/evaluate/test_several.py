import numpy as np
import pytest
from numpy.typing import NDArray

from windfirm.errors import InputError
from windfirm.evaluate import Outcome, bootstrap, combine


def outcome(correct: NDArray[np.int64], trials: int = 1, attack: str = "toy") -> Outcome:
    return Outcome(attack, f"a {attack}", None, trials, correct)


def pairs(random: np.random.Generator, trainings: int, images: int, mean: float, spread: float) -> list[
    tuple[Outcome, Outcome]
]:  # fmt: skip
    """Trainings whose gains differ by ``spread``, on images that are easy or hard for all of them."""
    hard = random.beta(3, 1, images)
    gains = random.normal(mean, spread, trainings)
    made = []
    for gain in gains:
        theirs = random.random(images) < hard * 0.8
        ours = random.random(images) < hard * (0.8 + gain / 0.75)  # the mean of hard is 0.75
        made.append((outcome(ours.astype(np.int64)), outcome(theirs.astype(np.int64))))
    return made


def test_mean_and_spread_by_hand() -> None:
    zero = outcome(np.zeros(10, np.int64), 2)
    ours = [outcome(np.array([2] * n + [0] * (10 - n)), 2) for n in (1, 2, 6)]
    found = combine([(one, zero) for one in ours])
    assert found.each == pytest.approx((10, 20, 60))
    assert found.points == pytest.approx(30)
    assert found.spread == pytest.approx(((20**2 + 10**2 + 30**2) / 2) ** 0.5)
    assert found.low < 30 < found.high
    assert combine([(one, zero) for one in ours]) == found


def test_the_ends_are_percentage_points_around_the_mean() -> None:
    random = np.random.default_rng(1)
    draws = random.binomial(4, [[0.7], [0.6]], (4, 2, 500))
    found = combine([(outcome(ours, 4), outcome(theirs, 4)) for ours, theirs in draws])
    low, high = bootstrap((draws[:, 0] - draws[:, 1]) / 4, 5)
    assert (found.low, found.high) == pytest.approx((100 * low, 100 * high), abs=0.3)


def test_it_covers_other_trainings_on_other_images() -> None:
    random = np.random.default_rng(0)
    found = [combine(pairs(random, 8, 40, 0.03, 0.08), seed=i) for i in range(60)]
    assert np.mean([one.low < 3 < one.high for one in found]) > 0.9
    spread = np.std([one.points for one in found], ddof=1)
    assert 1 < np.mean([one.high - one.low for one in found]) / (2 * 1.96 * spread) < 1.7


def test_one_training_says_nothing_about_others() -> None:
    with pytest.raises(InputError) as error:
        combine(pairs(np.random.default_rng(0), 1, 9, 0, 0))
    assert str(error.value) == "combine: expected the outcomes of at least two trainings, got 1"


def test_all_are_of_the_same_attack_on_the_same_images() -> None:
    (first,) = pairs(np.random.default_rng(0), 1, 9, 0, 0)
    other = outcome(np.zeros(9, np.int64), attack="other")
    with pytest.raises(InputError, match=r"^difference: expected the same attack on the same images, got a toy"):
        combine([first, (other, other)])
