import numpy as np
import pytest
from scipy import stats

from windfirm.evaluate import Outcome, interval, wilson


def outcome(correct: list[int], trials: int) -> Outcome:
    return Outcome("toy", "a toy", None, trials, np.array(correct))


@pytest.mark.parametrize(("count", "total"), [(0, 10), (10, 10), (3, 10), (9295, 10000), (1, 1)])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_wilson_agrees_with_scipy(count: int, total: int, level: float) -> None:
    truth = stats.binomtest(count, total).proportion_ci(level, "wilson")
    assert wilson(count, total, level) == pytest.approx((truth.low, truth.high), abs=1e-12)


@pytest.mark.parametrize("right", [0, 1, 37, 50])
def test_one_draw_an_image_is_wilson(right: int) -> None:
    assert interval(outcome([1] * right + [0] * (50 - right), 1)) == pytest.approx(wilson(right, 50), abs=1e-12)


def test_draws_that_always_agree_are_worth_one() -> None:
    assert interval(outcome([10] * 37 + [0] * 13, 10)) == pytest.approx(wilson(37, 50), abs=1e-12)


@pytest.mark.parametrize("right", [0, 10])
def test_draws_that_are_all_right_or_all_wrong_are_worth_one_an_image(right: int) -> None:
    truth = stats.binomtest(5 * right, 50).proportion_ci(0.95, "wilson")
    assert interval(outcome([right] * 50, 10)) == pytest.approx((truth.low, truth.high), abs=1e-12)


def test_draws_that_do_not_depend_on_the_image_are_worth_themselves() -> None:
    correct = np.random.default_rng(0).binomial(10, 0.7, 5000)
    low, high = interval(Outcome("toy", "a toy", None, 10, correct))
    independent = wilson(int(correct.sum()), 50000)
    assert high - low == pytest.approx(independent[1] - independent[0], rel=0.05)


def test_the_interval_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    chances = random.beta(2, 1, (1000, 60))  # images differ in how hard they are: the mean is 2/3
    intervals = [interval(Outcome("toy", "a toy", None, 5, correct)) for correct in random.binomial(5, chances)]
    assert 0.93 < sum(low < 2 / 3 < high for low, high in intervals) / 1000 < 0.97
