from dataclasses import asdict, replace

import numpy as np
import pytest

from tests.report.made import Numbers
from tests.report.made import delta as by_hand
from windfirm.errors import InputError
from windfirm.evaluate import Outcome, Subject, compare, difference, holm, with_average
from windfirm.evaluate.compare import Role
from windfirm.evaluate.power import smallest

TRIALS = {"clean": 1, "semantic": 10, "occlusion": 10, "fgsm": 1}


def subject(role: Role, chance: float, attacks: dict[str, int] = TRIALS, size: int = 300) -> Subject:
    random = np.random.default_rng([ord(letter) for letter in role])
    outcomes = tuple(
        Outcome(name, name, 8 / 255 if name == "fgsm" else None, trials, random.binomial(trials, chance, size))
        for name, trials in attacks.items()
    )
    curve = tuple(Outcome("fgsm", "fgsm", eps, 1, random.binomial(1, chance, size)) for eps in (0.001, 0.002))
    return Subject(role, f"toy {role}", 1000, 10, 0.25, outcomes, curve)


def test_every_attack_and_the_average_is_set_against_f_and_the_control() -> None:
    subjects = [subject("F", 0.5), subject("F'", 0.7), subject("control", 0.7)]
    comparison = compare(subjects, data="toy/test", seed=3)
    columns = [*TRIALS, "average"]
    assert [(d.attack, d.versus) for d in comparison.deltas] == [(c, v) for v in ("F", "control") for c in columns]
    for delta in comparison.deltas:
        ours, theirs = (
            next(o for o in with_average(s.outcomes) if o.attack == delta.attack)
            for s in (subjects[1], subjects[0] if delta.versus == "F" else subjects[2])
        )
        assert delta.points == pytest.approx(100 * (ours.accuracy - theirs.accuracy))
        truth = asdict(difference(ours, theirs, seed=3))
        assert {name: asdict(delta)[name] for name in truth} == truth
    assert (comparison.images, comparison.data, comparison.seed) == (300, "toy/test", 3)
    assert comparison.deltas[4].p < 1e-6
    assert comparison.deltas[9].p > 0.001


def test_p_values_are_corrected_for_the_whole_table() -> None:
    found = compare([subject("F", 0.5), subject("F'", 0.55), subject("control", 0.53)], data="toy/test", seed=3)
    assert len(found.deltas) == 10
    assert [delta.adjusted for delta in found.deltas] == list(holm([delta.p for delta in found.deltas]))
    for delta in found.deltas:  # what would show is about what Holm's first test finds
        if delta.points >= delta.smallest:
            assert delta.verdict == "more"


def test_what_would_have_shown_is_told_at_the_level_of_the_first_of_holms_tests() -> None:
    subjects = {s.role: s for s in (subject("F", 0.5), subject("F'", 0.6), subject("control", 0.55))}
    found = compare([*subjects.values()], data="toy/test", seed=0, margin=2.5)
    assert found.margin == 2.5
    for row in found.deltas:
        ours, theirs = (
            next(o for o in with_average(subjects[role].outcomes) if o.attack == row.attack)
            for role in ("F'", row.versus)
        )
        assert row.smallest == smallest(ours, theirs, 0.05 / 10)


@pytest.mark.parametrize(
    ("numbers", "adjusted", "verdict"),  # points, low, high, p
    [
        ((2.0, 1.0, 3.0, 0.001), 0.049, "more"),
        ((2.0, 1.0, 3.0, 0.001), 0.05, "none shown"),  # the corrected p-value alone decides
        ((2.0, -0.1, 4.1, 0.001), 0.01, "none shown"),  # and the interval has to agree
        ((-2.0, -3.0, -1.0, 0.001), 0.049, "less"),
        ((-2.0, -3.0, -1.0, 0.001), 0.05, "none shown"),
        ((-2.0, -4.1, 0.1, 0.001), 0.01, "none shown"),
    ],
)
def test_a_difference_is_named_where_the_corrected_p_and_the_interval_agree(
    numbers: Numbers, adjusted: float, verdict: str
) -> None:
    assert by_hand("fgsm", "F", numbers, adjusted).verdict == verdict


@pytest.mark.parametrize(
    ("numbers", "lost"),
    [
        ((-0.4, -0.9, 0.1, 0.049), True),  # its p-value before any correction
        ((-0.4, -0.9, -0.1, 0.06), True),  # or its interval
        ((-0.4, -0.9, 0.1, 0.06), False),
        ((0.4, 0.1, 0.9, 0.001), False),
    ],
)
def test_a_loss_of_clean_accuracy_is_admitted_sooner(numbers: Numbers, lost: bool) -> None:
    assert by_hand("clean", "F", numbers, 0.3).lost == lost
    assert by_hand("clean", "F", numbers, 0.3).verdict == ("less" if lost else "none shown")
    assert by_hand("fgsm", "F", numbers, 0.3).verdict == "none shown"


def test_two_attacks_of_one_name_are_refused() -> None:
    twice = [
        replace(made, outcomes=made.outcomes + made.outcomes[-1:]) for made in (subject("F", 0.5), subject("F'", 0.5))
    ]
    with pytest.raises(InputError) as error:
        compare(twice, data="toy", seed=0)
    assert str(error.value) == "compare: expected attacks that each have a name of their own, got fgsm twice"


def test_a_margin_that_is_none_is_refused() -> None:
    for margin in (0.0, -1.0, 101.0):
        with pytest.raises(InputError) as error:
            compare([subject("F", 0.5), subject("F'", 0.5)], data="toy", seed=0, margin=margin)
        assert str(error.value) == f"compare: expected a margin in (0, 100] percentage points, got {margin}"


def test_the_average_is_that_of_the_posters_four_columns() -> None:
    outcomes = subject("F", 0.5, {**TRIALS, "occlusion-worst": 1}).outcomes
    average = with_average(outcomes)[-1]
    assert average.title == "mean of semantic, occlusion, fgsm, clean"
    assert average.accuracy == pytest.approx(sum(o.accuracy for o in outcomes[:4]) / 4)
    assert with_average(outcomes[1:]) == outcomes[1:]


def test_subjects_that_cannot_be_compared_are_refused() -> None:
    roles = "compare: expected one F, one F' and at most one control, got "
    fewer = subject("F'", 0.5, {"clean": 1})
    for subjects, message in (
        ([subject("F", 0.5)], roles + "['F']"),
        (
            [subject("F", 0.5), subject("F'", 0.5), subject("F", 0.5)],
            roles + """["F", "F'", "F"]""".replace('"F"', "'F'"),
        ),
        (
            [subject("F", 0.5), fewer],
            "compare: F: expected the attacks clean, got clean, semantic, occlusion, fgsm, average",
        ),
    ):
        with pytest.raises(InputError) as error:
            compare(subjects, data="toy", seed=0)
        assert str(error.value) == message
