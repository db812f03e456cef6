from dataclasses import replace

import numpy as np
import pytest

from tests.report.made import CLEAN, GAIN, LOSS, NOTHING, Numbers, comparison, every, on_clean
from windfirm.errors import InputError
from windfirm.evaluate import inequality
from windfirm.evaluate.score import equivalence


@pytest.mark.parametrize(
    ("attacks", "clean", "differing", "answer"),
    [
        (GAIN, CLEAN, (0, 4), "holds"),
        (GAIN, GAIN, (40, 20), "holds"),
        (GAIN, (-0.4, -0.6, -0.2, 0.0001), (0, 4), "holds"),
        (GAIN, (-0.4, -1.6, 0.8, 0.5), (24, 28), "first half only"),
        (GAIN, LOSS, (20, 40), "does not hold"),
        (NOTHING, CLEAN, (0, 4), "not shown"),
        (LOSS, CLEAN, (0, 4), "does not hold"),
    ],
)
def test_the_inequality_as_a_whole(attacks: Numbers, clean: Numbers, differing: tuple[int, int], answer: str) -> None:
    assert inequality(on_clean(comparison(every(attacks, clean)), *differing)).answer == answer


def test_a_gain_under_some_attacks_is_a_part() -> None:
    found = inequality(comparison({**every(GAIN), "semantic": LOSS, "fgsm": NOTHING, "average": GAIN}))
    assert (found.more, found.less, found.open) == (("occlusion",), ("semantic",), ("fgsm",))
    assert found.answer == "holds in part"


def test_the_margin_decides() -> None:
    made = on_clean(comparison(every(GAIN)), 5, 5)
    found = [inequality(replace(made, margin=margin)).close for margin in (0.3, 0.5, 0.6, 1.0)]
    assert found == [False, False, True, True]  # √10 images of 1,000 are about one deviation


def test_few_images_of_which_none_differs_show_no_equality() -> None:
    made = comparison(every(GAIN), images=200)  # a loss of one image in 100 shows on none of them once in 7 times
    assert not inequality(on_clean(made, 0, 0)).close
    assert inequality(on_clean(replace(made, images=400), 0, 0)).close


def test_the_control_in_the_place_of_f_is_set_against_by_its_own_images_and_attacks() -> None:
    made = on_clean(comparison(every(GAIN), every(LOSS, CLEAN)), 0, 4)
    control = next(s for s in on_clean(made, 40, 4).subjects if s.role == "control")
    made = replace(made, subjects=tuple(control if s.role == "control" else s for s in made.subjects))
    f, other = inequality(made), inequality(made, "control")
    assert (f.versus, f.more, f.less) == ("F", ("semantic", "occlusion", "fgsm"), ())
    assert (other.versus, other.more, other.less) == ("control", (), ("semantic", "occlusion", "fgsm"))
    # F' is wrong on the first 4 images, F on none, the control on the first 40.
    alone = np.zeros(1000)
    alone[4:40] = 1
    assert other.p == pytest.approx(equivalence(alone, 0.01))
    assert (f.close, other.close) == (True, False)


def test_without_clean_accuracy_there_is_no_inequality() -> None:
    with pytest.raises(InputError) as error:
        inequality(comparison({"fgsm": GAIN}))
    assert str(error.value) == "inequality, F: expected a difference on clean images, got none"
