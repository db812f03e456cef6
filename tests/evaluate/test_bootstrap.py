import numpy as np
import pytest
from scipy import stats

from windfirm.errors import InputError
from windfirm.evaluate import bootstrap


def test_many_images_give_the_normal_interval_of_the_mean() -> None:
    differences = np.random.default_rng(0).choice([1.0, 0.0, -1.0], 2_000, p=[0.2, 0.7, 0.1])
    error = differences.std() / 2_000**0.5
    low, high = bootstrap(differences, 1)
    assert (low, high) == pytest.approx(
        (differences.mean() - 1.96 * error, differences.mean() + 1.96 * error), abs=0.15 * error
    )
    assert (low, high) == bootstrap(differences[::-1], 1)  # the order of the images is no matter
    assert (low, high) != bootstrap(differences, 2)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_level_is_the_share_of_draws_inside(level: float) -> None:
    differences = np.random.default_rng(0).normal(0, 1, 2_000)
    low, high = bootstrap(differences, 0, level)
    z = stats.norm.ppf((1 + level) / 2)
    assert high - low == pytest.approx(2 * z * differences.std() / 2_000**0.5, rel=0.08)


def test_it_agrees_with_scipys() -> None:
    differences = np.random.default_rng(3).integers(-4, 6, 300) / 5
    truth = stats.bootstrap(
        (differences,), np.mean, n_resamples=2_000, method="percentile", rng=np.random.default_rng(4)
    ).confidence_interval
    error = differences.std() / 300**0.5
    assert bootstrap(differences, 5) == pytest.approx((truth.low, truth.high), abs=0.25 * error)


def test_images_that_are_all_alike_leave_a_point() -> None:
    assert bootstrap(np.zeros(50), 0) == (0.0, 0.0)


def test_it_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(4)
    draws = random.choice([1.0, 0.0, -1.0], (300, 300), p=[0.10, 0.84, 0.06])
    hits = [low <= 0.04 <= high for low, high in (bootstrap(row, i) for i, row in enumerate(draws))]
    assert 0.92 < np.mean(hits) < 0.98


def test_with_trainings_that_differ_it_is_as_wide_as_their_spread() -> None:
    # Every image of a training has the same difference: all that varies is the training.
    each = np.array([0.01, 0.03, 0.02, 0.06, 0.05, 0.04, 0.07, 0.08])
    low, high = bootstrap(np.repeat(each[:, None], 100, 1), 0)
    error = each.std(ddof=1) / 8**0.5  # with ddof=0, the plain bootstrap, it would be narrower by 7 %
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_trainings_that_are_all_alike_add_nothing() -> None:
    differences = np.random.default_rng(0).choice([1.0, 0.0, -1.0], 400)
    low, high = bootstrap(np.stack([differences] * 5), 0)
    alone = bootstrap(differences, 0)
    assert high - low == pytest.approx(alone[1] - alone[0], rel=0.06)


def test_nothing_cannot_be_drawn_from() -> None:
    with pytest.raises(InputError) as error:
        bootstrap(np.zeros((2, 0)), 0)
    assert str(error.value) == "bootstrap: expected at least one difference, got shape (2, 0)"
