from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.report.made import CLEAN, GAIN, LOSS, NOTHING, Numbers, comparison, every
from windfirm.errors import InputError
from windfirm.evaluate import Outcome, equivalence, inequality
from windfirm.evaluate.compare import Delta
from windfirm.evaluate.paired import difference, paired_interval


def between(ours: object, theirs: object) -> Delta:
    a, b = (Outcome("clean", "clean", None, 1, np.asarray(values, np.int64)) for values in (ours, theirs))
    found = difference(a, b)
    return Delta("clean", "F", **vars(found), smallest=0, adjusted=found.p)


def test_equivalence_is_two_one_sided_tests_of_the_mean() -> None:
    better, worse, size = 12, 17, 2_000
    ours = [1] * better + [0] * (size - better)
    theirs = [0] * better + [1] * worse + [0] * (size - better - worse)
    # The paired differences and the four half images of the interval, as a sample for a plain z-test.
    mean = (better - worse) / (size + 2)
    error = ((better + worse + 1) / (size + 2) - mean**2) ** 0.5 / (size + 2) ** 0.5
    truth = max(stats.norm.sf((mean + 0.01) / error), stats.norm.cdf((mean - 0.01) / error))
    assert equivalence(between(ours, theirs), 1.0) == pytest.approx(truth, rel=1e-9)


def test_a_loss_as_large_as_the_margin_passes_for_equal_at_most_one_time_in_twenty() -> None:
    random = np.random.default_rng(0)
    shown = {"at the margin": 0, "equal": 0}
    for _ in range(1_000):
        for gains, losses, counted in ((0.02, 0.03, "at the margin"), (0.02, 0.02, "equal")):
            better, worse, _same = random.multinomial(4_000, [gains, losses, 1 - gains - losses])
            steps = np.array([1.0] * better + [-1.0] * worse + [0.0] * (4_000 - better - worse))
            low, high = (100 * end for end in paired_interval(steps))
            shown[counted] += equivalence(Delta("clean", "F", 0, low, high, 1, low, high, 0, 1), 1.0) < 0.05
    assert shown["at the margin"] / 1_000 < 0.05 + 2 * (0.05 * 0.95 / 1_000) ** 0.5
    assert shown["equal"] / 1_000 > 0.8


@pytest.mark.parametrize(
    ("attacks", "clean", "answer"),
    [
        (GAIN, CLEAN, "holds"),
        (GAIN, GAIN, "holds"),
        (GAIN, (-0.4, -0.6, -0.2, 0.0001), "holds"),
        (GAIN, (-0.4, -1.6, 0.8, 0.5), "first half only"),
        (GAIN, LOSS, "does not hold"),
        (NOTHING, CLEAN, "not shown"),
        (LOSS, CLEAN, "does not hold"),
    ],
)
def test_the_inequality_as_a_whole(attacks: Numbers, clean: Numbers, answer: str) -> None:
    assert inequality(comparison(every(attacks, clean))).answer == answer


def test_a_gain_under_some_attacks_is_a_part() -> None:
    found = inequality(comparison({**every(GAIN), "semantic": LOSS, "fgsm": NOTHING, "average": GAIN}))
    assert (found.more, found.less, found.open) == (("occlusion",), ("semantic",), ("fgsm",))
    assert found.answer == "holds in part"


def test_the_margin_decides() -> None:
    made = comparison(every(GAIN))
    assert [inequality(replace(made, margin=margin)).close for margin in (0.5, 0.8, 0.83, 1.0)] == [
        False,
        False,
        True,
        True,
    ]  # the 90 % interval ends at -0.82


def test_without_clean_accuracy_there_is_no_inequality() -> None:
    with pytest.raises(InputError) as error:
        inequality(comparison({"fgsm": GAIN}))
    assert str(error.value) == "inequality, F: expected a difference on clean images, got none"
