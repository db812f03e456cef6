"""Counts are chosen, so that every mean is known."""

from dataclasses import replace

from tests.report.studied import THREE, four, outcome, row, rows
from tests.report.test_study import swept
from windfirm.report.study_questions import questions
from windfirm.report.summary import summary
from windfirm.study.listing import Measured


def test_what_the_training_alone_does_is_told_apart_from_what_the_cut_does() -> None:
    # Under semantic, occlusion and FGSM F′ − F is 2, -2 and 10, and F′ − control 1, -2 and 6.
    assert questions(summary(rows("mine", {}, THREE)))[0] == (
        "Is it the cut, or the training after it? On average over the attacks, each counted alike, F′ − F is +3.33 "
        "points: control − F, the training alone, is +1.67, and F′ − control +1.67."
    )


def test_without_a_control_nothing_is_said_of_the_cause() -> None:
    two = {role: THREE[role] for role in ("F", "F'")}
    assert not any("cut, or" in sentence for sentence in questions(summary(rows("mine", {}, two))))


def test_a_gain_under_one_step_stands_beside_what_stronger_attacks_leave_of_it() -> None:
    counts = {"F": (20, 60, 50), "control": (24, 60, 50), "F'": (30, 20, 49)}
    made = [
        row("mine", role, {}, 0, outcome(attack, right, eps=8 / 255))
        for role, found in counts.items()
        for attack, right in zip(("fgsm", "pgd", "autoattack"), found, strict=True)
    ]
    assert (
        "Does it survive an attack of many steps? F′ − control is, in points, +6.00 under fgsm 8/255, a single step; "
        "−40.00 under pgd 8/255 and −1.00 under autoattack 8/255. Under many steps, F′ is beyond chance more robust in "
        "0 and less in 1 of 2 cases."
    ) in questions(summary(made))


def test_a_stronger_attack_is_no_question_before_both_were_measured_on_a_pair() -> None:
    made = [
        *(row("mine", role, {}, 0, outcome("pgd", 20, eps=8 / 255)) for role in ("F", "control", "F'")),
        row("mine", "F", {}, 0, outcome("fgsm", 30, eps=8 / 255)),
    ]
    assert not any("many steps" in line for line in questions(summary(made)))


def test_gains_at_the_least_and_at_the_most_that_was_removed_are_told_of_each_criterion() -> None:
    said = [line for line in questions(summary(swept())) if "goes, in points" in line]
    assert said[0].startswith(
        "Does it grow with what is removed? For pls, from 10 % to 50 % of the MACs removed: F′ − control goes, in "
        "points, "
    )
    assert "clean 0.00 to −4.00" in said[0]
    assert said[1].startswith("For random, from ")


def test_nothing_is_said_of_growth_where_nothing_is_removed() -> None:
    whole = [replace(row, macs=1000) for row in rows("mine", {}, {role: four(1, 2, 3, 4) for role in THREE})]
    assert not any("grow" in line for line in questions(summary(whole)))


def test_cuts_of_one_size_cannot_say_whether_it_grows() -> None:
    assert questions(summary(rows("mine", {}, {role: four(1, 2, 3, 4) for role in THREE})))[-1] == (
        "Does it grow with what is removed? These rows cannot say: each kind of cut was made once, of 10 % of the MACs."
    )


def test_two_amounts_are_not_one() -> None:
    made = [
        entry
        for share in (900, 700)
        for entry in rows("mine", {"prune.ratio": share}, THREE, macs={"F": 1000, "control": 1000, "F'": share})
    ]
    said = "no kind of cut was made in three amounts, of 10 to 30 % of the MACs."
    assert questions(summary(made))[-1].endswith(said)


def test_what_the_training_does_is_told_of_the_seeds_that_have_a_control() -> None:
    def fgsm(role: str, seed: int, right: int) -> Measured:
        return row("mine", role, {}, seed, outcome("fgsm", right, eps=8 / 255))

    made = [fgsm("F", 0, 20), fgsm("control", 0, 30), fgsm("F'", 0, 30), fgsm("F", 1, 50), fgsm("F'", 1, 20)]
    assert questions(summary(made))[0] == (
        "Is it the cut, or the training after it? On average over the attacks, each counted alike, F′ − F is +10.00 "
        "points: control − F, the training alone, is +10.00, and F′ − control 0.00."
    )
    assert summary(made).mean_gain("F", "fgsm") == 10


def test_growth_is_told_of_the_amounts_that_have_a_control_and_not_denied_where_one_has() -> None:
    def growth(rows_: list[Measured]) -> list[str]:
        return [line for line in questions(summary(rows_)) if "grow" in line]

    def ratio(measured: Measured) -> float:
        return float(measured.point["prune.ratio"])

    made = [entry for entry in swept() if entry.point["prune.criterion"] == "pls"]
    some = [entry for entry in made if entry.role != "control" or ratio(entry) < 0.5]
    assert "F′, from 10 % to 30 % of the MACs removed: F′ − control goes" in growth(some)[0]
    assert growth([entry for entry in made if entry.role != "control" or ratio(entry) < 0.2]) == []
