import numpy as np
import pytest
from numpy.typing import NDArray

from windfirm.evaluate import Outcome, warnings
from windfirm.evaluate.warnings import (
    along,
    among,
    black_box,
    left_over,
    losses_apart,
    one_step,
    still_helping,
    worst_of,
)

LABELS: NDArray[np.int64] = np.arange(400) % 10


def left(attack: str, right: int, eps: float = 8 / 255, images: int = 400, start: int = 0) -> Outcome:
    """An attack that ``right`` images in a row survive."""
    correct = np.zeros(images, np.int64)
    correct[start : start + right] = 1
    return Outcome(attack, f"a {attack}", eps, 1, correct)


def kinds(found: list[warnings.Finding]) -> list[str]:
    return [finding.kind for finding in found]


def test_square_that_leaves_less_than_the_gradient_does() -> None:
    (found,) = black_box(left("square", 100), [left("pgd", 150), left("apgd-ce", 140)])
    assert found.kind == "black box beats white box"
    assert found.text == (
        "square leaves 25.0 %, pgd and apgd-ce 35.0 %: outputs alone fool more than gradients do (p = 1.8e-12)"
    )
    assert black_box(left("square", 139), [left("pgd", 150), left("apgd-ce", 140)]) == []
    assert black_box(left("square", 160), [left("pgd", 150)]) == []


def test_of_what_gradients_leave_outputs_alone_find_hardly_any() -> None:
    gradients = left("fgsm and pgd", 42)
    few, many = (Outcome("square", "a square", 8 / 255, 1, (np.arange(42) >= n).astype(np.int64)) for n in (7, 8))
    assert left_over(few, gradients) == []
    (found,) = left_over(many, gradients)
    assert (found.kind, found.text.partition(" leave ")[0]) == (
        "black box beats white box",
        "square fools 8 of the 42 images that fgsm and pgd",
    )


def test_white_box_attacks_are_taken_together_image_by_image() -> None:
    halves = [left("pgd", 200), left("apgd-ce", 200, start=190)]
    assert worst_of(halves).correct.sum() == 10
    assert black_box(left("square", 30), halves) == []


def test_several_draws_of_an_image_count_as_one_that_is_right_when_all_are() -> None:
    draws = Outcome("square", "a square", 0.1, 2, np.array([2, 1, 2, 0]))
    other = Outcome("pgd", "a pgd", 0.1, 3, np.array([3, 3, 2, 0]))
    assert worst_of([draws, other]).correct.tolist() == [1, 0, 0, 0]
    # Of 400 images 45 are right in both draws, which is chance; that others are so in one says nothing.
    correct = left("fgsm", 45).correct * 2
    correct[100:300] = 1
    curve = [left("fgsm", 380, 0), Outcome("fgsm", "a fgsm", 0.5, 2, correct)]
    assert along(curve, LABELS) == []


def test_six_images_are_the_fewest_that_a_test_can_speak_of() -> None:
    # Eight images one way have p = 2/256 < 0.01, seven have 2/128.
    assert black_box(left("square", 93), [left("pgd", 100)]) == []
    assert kinds(black_box(left("square", 92), [left("pgd", 100)])) == ["black box beats white box"]


def test_one_step_that_leaves_less_than_many() -> None:
    (found,) = one_step(left("fgsm", 100), [left("pgd", 150)])
    assert found.text == "fgsm leaves 25.0 %, pgd 37.5 %: one step fools more than many do (p = 1.8e-15)"
    assert one_step(left("fgsm", 150), [left("pgd", 100)]) == []


def test_losses_that_are_far_apart() -> None:
    (found,) = losses_apart(left("apgd-ce", 160), left("apgd-dlr", 100))
    assert found.text == (
        "apgd-ce leaves 40.0 %, apgd-dlr 25.0 %: more than 5 points apart (95 % interval of the difference 11.8 to "
        "18.8)"
    )
    assert kinds(losses_apart(left("apgd-ce", 100), left("apgd-dlr", 160))) == ["losses far apart"]
    assert losses_apart(left("apgd-ce", 112), left("apgd-dlr", 100)) == []  # sure, and 3 points


def test_losses_are_far_apart_where_the_whole_interval_is() -> None:
    # 6 points: ± 2.3 on 400 images, ± 0.5 on 10,000.
    for few, many in ((100, 124), (124, 100)):
        assert losses_apart(left("apgd-ce", few), left("apgd-dlr", many)) == []
        more = [left(name, 25 * n, images=10_000) for name, n in (("apgd-ce", few), ("apgd-dlr", many))]
        assert kinds(losses_apart(*more)) == ["losses far apart"]


def test_more_steps_that_still_help() -> None:
    (found,) = still_helping(left("pgd", 150), left("pgd", 120), "steps")
    assert found.kind == "more steps still help"
    assert found.text == ("more steps bring pgd from 37.5 % down to 30.0 % (p = 1.9e-09): the attack was not finished")
    assert still_helping(left("pgd", 150), left("pgd", 147), "steps") == []  # three images
    fewer, more = (left("pgd", right, images=10_000) for right in (5_000, 4_960))
    assert still_helping(fewer, more, "restarts") == []  # sure, and less than half a point
    assert still_helping(left("pgd", 120), left("pgd", 150), "steps") == []


def test_attacks_are_told_by_name_and_eps() -> None:
    square, pgd, fgsm = left("square", 100), left("pgd", 150), left("fgsm", 120)
    dlr, ce = left("apgd-dlr", 160), left("apgd-ce", 240)
    assert kinds(among([square, pgd, fgsm, dlr, ce])) == [
        "black box beats white box",
        "one step beats many",
        "losses far apart",
    ]
    assert among([square, left("pgd", 150, eps=4 / 255), Outcome("semantic", "hue", None, 1, pgd.correct)]) == []
    assert among([square, fgsm]) == []  # one step, and no gradient need be hidden
    assert among([left("semantic-search", 3), pgd]) == []


def test_other_images_and_other_norms_say_nothing_about_each_other() -> None:
    long = Outcome("pgd", "steps, L2, random start", 8 / 255, 1, np.ones(400, np.int64))
    assert among([left("fgsm", 100), long]) == []
    assert among([left("fgsm", 100), left("pgd", 200, images=200)]) == []
    assert among([left("square", 10), left("pgd", 200, images=200), left("apgd-ce", 40, images=50)]) == []


def test_accuracy_that_falls_to_chance_raises_nothing() -> None:
    assert along([left("fgsm", n, eps) for eps, n in ((0, 370), (0.01, 200), (0.1, 30), (0.5, 45))], LABELS) == []


def test_accuracy_that_rises_with_eps() -> None:
    curve = [left("fgsm", n, eps) for eps, n in ((0.5, 40), (2 / 255, 150), (0, 380), (8 / 255, 200))]
    (found,) = along(curve, LABELS)
    assert found.kind == "accuracy rises with eps"
    assert found.text == (
        "fgsm leaves 37.5 % at eps 2/255 but 50.0 % at 8/255 (p = 1.8e-15 after correction for 3 steps)"
    )


def test_a_rise_that_ends_at_chance_is_none() -> None:
    curve = [left("fgsm", n, eps) for eps, n in ((0, 380), (8 / 255, 5), (0.5, 45))]
    assert along(curve, LABELS) == []


def test_accuracy_that_does_not_fall() -> None:
    (found,) = along([left("fgsm", n, eps) for eps, n in ((0, 380), (8 / 255, 378))], LABELS)
    assert found.kind == "accuracy does not fall with eps"
    assert found.text == "fgsm leaves 95.0 % at eps 0/255 and 94.5 % at 8/255: no fall is shown (p = 0.5)"
    assert along([left("fgsm", n, eps) for eps, n in ((0, 380), (0.25 / 255, 378))], LABELS) == []  # too early
    assert along([left("fgsm", 378)], LABELS) == []
    assert along([left("fgsm", n, eps) for eps, n in ((0, 45), (8 / 255, 44))], LABELS) == []  # knows nothing


def test_few_images_that_are_down_to_chance_have_fallen() -> None:
    curve = [left("fgsm", n, eps, images=10) for eps, n in ((0, 9), (8 / 255, 2))]  # p = 2/128
    assert along(curve, LABELS[:10]) == []
    curve = [left("fgsm", n, eps, images=10) for eps, n in ((0, 9), (8 / 255, 8))]
    assert kinds(along(curve, LABELS[:10])) == ["accuracy does not fall with eps"]


def test_accuracy_that_does_not_reach_chance() -> None:
    (found,) = along([left("fgsm", n, eps) for eps, n in ((0, 380), (0.5, 80))], LABELS)
    assert found.kind == "accuracy above chance at large eps"
    assert found.text == (
        "fgsm leaves 20.0 % at eps 127.5/255, where any image can be made grey and 10.0 % is chance (p = 1.7e-09)"
    )
    assert along([left("fgsm", n, eps) for eps, n in ((0, 380), (0.25, 80))], LABELS) == []  # not yet
    mostly_one = np.where(np.arange(400) < 80, 0, LABELS)  # a network that always says 0 is right in 112
    assert along([left("fgsm", n, eps) for eps, n in ((0, 380), (0.5, 112))], mostly_one) == []


def test_at_127_of_255_every_image_can_be_made_grey() -> None:
    for eps, told in ((127 / 255, ["accuracy above chance at large eps"]), (126 / 255, [])):
        assert kinds(along([left("fgsm", n, at) for at, n in ((0, 380), (eps, 80))], LABELS)) == told


@pytest.mark.parametrize(("right", "warned"), [(370, False), (345, False), (330, True), (40, True)])
def test_a_training_that_costs_accuracy_without_any_cut(right: int, warned: bool) -> None:
    """F has 372 of 400 right; at 345 it is 6.75 points, of which five are not sure."""
    found = warnings.harm(left("clean", right), left("clean", 372))
    assert kinds(found) == (["the training does harm"] if warned else [])
    assert not found or f"leaves {right / 4:.1f} % of clean images right, where F has 93.0 %" in found[0].text


def test_no_curve_says_nothing() -> None:
    assert along([], LABELS) == []


def test_equal_attacks_raise_an_alarm_as_seldom_as_they_say() -> None:
    random = np.random.default_rng(0)
    alarms = 0
    for _ in range(300):
        a, b = (Outcome(name, name, 0.1, 1, random.binomial(1, 0.5, 200)) for name in ("square", "pgd"))
        alarms += bool(black_box(a, [b]))
    assert alarms <= 4  # half of one in a hundred, as one side is told of, and a little room
