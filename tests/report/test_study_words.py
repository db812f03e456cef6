"""Counts are chosen, so that every mean is known."""

from dataclasses import replace

from tests.report.studied import THREE, four, outcome, row, rows
from windfirm.report import words
from windfirm.report.overview import overview
from windfirm.report.study_questions import questions
from windfirm.report.study_words import answer, doubts
from windfirm.report.summary import Summary, summary


def beside_a_defence() -> Summary:
    """A pruned network with its control, and one that a defence trained, which has none and is not smaller."""
    whole = dict.fromkeys(THREE, 1000)
    trained = {"F": THREE["F"], "F'": four(40, 50, 60, 92)}
    pruned = rows("mine", {"defend.name": ""}, THREE)
    return summary([*pruned, *rows("mine", {"defend.name": "mixup"}, trained, macs=whole)])


def test_what_is_not_cut_is_told_by_itself_and_counted_nowhere_else() -> None:
    said, found = answer(beside_a_defence()), beside_a_defence()
    # Of 100 images F is right on 70, 80, 20 and 93; the defence on 40, 50, 60 and 92.
    assert (
        "Not pruned, and not counted in the sentences before: mixup. Compared with F, they are more robust in 1 and "
        "less in 2 of 3 cases under attack; clean, −1.00 points."
    ) in said
    alone = answer(summary(rows("mine", {"defend.name": ""}, THREE)))
    assert said[0].partition(" cases")[0] == alone[0].partition(" cases")[0]
    assert any(line.startswith("On clean images F′ − F is −1.00 points; ") for line in said)
    assert found.mean_gain("F", "fgsm") == 10
    assert overview([found, found])[0][1:4] == ("0 / 0 of 3", "1 / 0 of 3", "−1.00")


def test_what_would_have_shown_is_told_of_each_attack() -> None:
    found = summary(rows("mine", {}, THREE))
    least = words.decimal(found.lines[0].gains["control"]["fgsm"].delta.smallest)
    (said,) = (line for line in answer(found) if line.startswith("A difference from the control would have shown"))
    assert f" and {least} under fgsm; " in said


def test_more_epochs_than_the_controls_are_told() -> None:
    alike, more = (answer(summary(rows("mine", {"adjust.name": name}, THREE))) for name in ("scratch-e", "scratch-b"))
    words_ = "Under scratch-b F′ is trained for more epochs than its control, for as many as cost the same."
    assert words_ in more
    assert words_ not in alike


def test_means_over_f_and_over_the_control_are_of_the_same_lines() -> None:
    lone = rows("mine", {"prune.ratio": 0.5}, {"F": THREE["F"], "F'": four(40, 50, 60, 92)})
    said = answer(summary([*rows("mine", {"prune.ratio": 0.1}, THREE), *lone]))[0]
    assert "compared with the control, trained again alike but not cut, where there is one, it " in said
    assert said.endswith(
        "Mean gain in points, where there is a control: semantic +2.00 over F and +1.00 over the control; occlusion "
        "−2.00 over F and −2.00 over the control; fgsm +10.00 over F and +6.00 over the control."
    )


def test_means_are_of_all_lines_where_each_has_a_control_and_where_none_has() -> None:
    assert (
        "Mean gain in points: semantic +2.00 over F and +1.00 over the control; "
        in answer(summary(rows("a", {}, THREE)))[0]
    )
    two = {role: THREE[role] for role in ("F", "F'")}
    said = answer(summary(rows("a", {}, two)))[0]
    assert "; no control was measured, so the cut cannot be told from any training that followed it. " in said
    assert "Mean gain in points: semantic +2.00 over F; occlusion −2.00 over F; fgsm +10.00 over F." in said


def test_a_line_whose_pruned_network_was_not_measured_yet_lacks_no_control() -> None:
    there = rows("a", {"prune.structure": "filters"}, THREE)
    lacking = rows("a", {"prune.structure": "layers"}, {"F": THREE["F"]})
    said = answer(summary([*there, *lacking]))[0]
    assert "where there is" not in said
    assert "Mean gain in points: semantic +2.00 over F" in said


def test_networks_that_are_not_smaller_are_left_out_of_what_was_removed() -> None:
    grows = [sentence for sentence in answer(beside_a_defence()) if "Does it grow" in sentence]
    assert grows[0].endswith("each kind of cut was made once, of 10 % of the MACs.")


def clean(*counts: int) -> Summary:
    """Lines of as many ratios, of whose 100 clean images F is right on 93."""
    points = [{"prune.ratio": (number + 1) / 10} for number in range(len(counts))]
    found = zip(points, counts, strict=True)
    return summary([entry for p, n in found for entry in rows("a", p, {"F": {"clean": 93}, "F'": {"clean": n}})])


def test_a_loss_of_clean_accuracy_is_told_of_the_lines_that_have_one() -> None:
    begin = "On clean images F′ − F is "
    (said,) = (line for line in answer(clean(80, 95, 92)) if line.startswith(begin))
    assert said == begin + "between −13.00 and +2.00 points; F′ is less accurate in ratio 0.1."
    (said,) = (line for line in answer(clean(92, 92)) if line.startswith(begin))
    assert said == begin + "−1.00 points; no loss is shown, though intervals go down to −5.45."
    (said,) = (line for line in answer(clean(100)) if line.startswith(begin))
    assert said == begin + "+7.00 points; no loss is shown."


def test_a_loss_that_the_training_hides_is_told_beside_the_control() -> None:
    made = summary(rows("a", {}, {"F": {"clean": 80}, "F'": {"clean": 83}, "control": {"clean": 95}}))
    (said,) = (line for line in answer(made) if line.startswith("On clean images F′ − F is +3.00 points; no loss is "))
    assert said.endswith(f". F′ − control is −12.00 points; F′ is less accurate in {made.lines[0].label}.")


def test_five_lines_that_lose_are_named_and_six_are_counted() -> None:
    named = "ratio 0.1, ratio 0.2, ratio 0.3, ratio 0.4 and ratio 0.5"
    for lines, where in ((5, named), (6, "6 of 7 cases")):
        said = answer(clean(*[70] * lines, *[93] * (lines == 6)))
        assert any(line.endswith(f"F′ is less accurate in {where}.") for line in said)


def test_one_in_a_hundred_that_withstands_is_no_floor() -> None:
    for right, floor in ((9, True), (10, False)):
        counts = {role: {"pgd": right} for role in ("F", "F'")}
        said = answer(summary(rows("a", {}, counts, total=1000)))
        wanted = ["Every network is at the floor under pgd (at most 0.90 %)."] if floor else []
        assert [line for line in said if "floor" in line] == wanted


def test_two_of_three_seeds_are_not_all() -> None:
    two = {role: THREE[role] for role in ("F", "F'")}
    made = [*rows("a", {}, two, seeds=(0, 1)), *rows("a", {}, {role: {"clean": 90} for role in two}, seeds=(2,))]
    assert "Not all is there: 4 of 5 differences are of fewer than 3 seeds." in answer(summary(made))


def test_two_seeds_say_something_of_other_seeds_and_one_does_not() -> None:
    made = [replace(row, network=f"{row.network}-{row.seed}") for row in rows("a", {}, THREE, seeds=(0, 1))]
    one, two = (answer(summary([row for row in made if row.seed < count]))[-1] for count in (1, 2))
    assert one.startswith("On 100 images of embedded/test and 1 seed; intervals and p-values are for other images, not")
    assert two.startswith("On 100 images of embedded/test and 2 seeds; intervals are for other images and other seeds")
    assert "after Holm’s correction for all 10 tests of the table" in one


def test_that_all_seeds_begin_with_one_f_is_told() -> None:
    made = [row for at in (1, 2) for row in rows("a", {"at": at}, THREE, seeds=(0, 1))]
    assert " and 2 seeds; all seeds begin with the same F; " in answer(summary(made))[-1]
    made[0] = replace(made[0], network="another")
    assert "same F" not in answer(summary(made))[-1]


def test_signs_of_the_poster_are_counted_and_those_beyond_chance_among_them() -> None:
    made = rows("table3", {"prune.criterion": "pls"}, THREE)
    said = "Of the poster’s 25 numbers in its table 3, 5 have a counterpart here; 3 of them have its sign, 1 beyond "
    said += "chance, and 0 the other one beyond chance; "
    (told,) = (line for line in answer(summary(made)) if line.startswith(said))
    assert told.endswith(" of the poster’s numbers lie within the interval of their counterpart; 20 were not measured.")


def test_cases_of_one_network_in_two_lines_count_once() -> None:
    def cases(both: dict[str, dict[str, int]]) -> str:
        lines = [("filters", THREE), ("both", both)]
        made = [row for name, one in lines for row in rows("a", {"prune.structure": name}, one, seeds=(0, 1))]
        return answer(summary(made))[0].partition(" cases")[0]

    assert cases(THREE) == "Compared with F, F′ is more robust in 1 and less in 0 of 3"
    assert cases(THREE | {"F'": four(72, 78, 30, 91)}) == "Compared with F, F′ is more robust in 2 and less in 0 of 6"


def test_means_do_not_move_when_a_network_stands_in_one_more_line() -> None:
    def of(lines: dict[str, dict[str, dict[str, int]]], control: bool) -> Summary:
        made = [row for name, one in lines.items() for row in rows("a", {"prune.structure": name}, one, seeds=(0, 1))]
        return summary([row for row in made if control or row.role != "control"])

    two = {"filters": THREE, "layers": THREE | {"F'": four(72, 78, 30, 91)}}
    for control in (True, False):
        first, again = of(two, control), of(two | {"both": THREE}, control)
        assert len(again.lines) == len(first.lines) + 1
        for versus in first.versus():
            for column in ("semantic", "fgsm", "clean"):
                assert again.mean_gain(versus, column) == first.mean_gain(versus, column)
        assert questions(again)[0] == questions(first)[0]


def test_pruned_networks_that_no_image_tells_apart_are_named() -> None:
    one_image_more = THREE | {"F'": THREE["F'"] | {"occlusion": 79}}
    filters, both = ({"prune.structure": structure} for structure in ("filters", "both"))
    alike = [*rows("a", filters, THREE, seeds=(0, 1)), *rows("a", both, THREE)]
    alike += rows("a", both, one_image_more, seeds=(1,))
    (sentence,) = (line for line in answer(summary(alike)) if "Not to be told apart" in line)
    assert sentence == (
        "Not to be told apart here, as one network may stand in two lines, are: the F′ of filters and both with seed "
        "0. Lines of which that is so with every seed count once, in cases and means."
    )
    assert not any("Not to be told apart" in line for line in answer(clean(92, 92)))  # no attack, 100 images


def test_eight_warnings_are_told_and_of_more_the_rest_is_counted() -> None:
    for seeds, last in ((4, "Warning, "), (5, "2 more warnings of this kind.")):
        made = [
            row("a", role, {}, seed, outcome(attack, right, eps=8 / 255))  # many steps do less than one
            for role in ("F", "F'")
            for seed in range(seeds)
            for attack, right in (("fgsm", 20), ("pgd", 60))
        ]
        told = doubts(summary(made))
        assert len(told) == 8 + (seeds > 4)
        assert told[-1].startswith(last)


def test_a_control_that_the_training_harmed_is_a_warning_once_for_all_lines_that_have_it() -> None:
    right = {"F": four(70, 80, 20, 93), "control": four(60, 70, 10, 60), "F'": four(60, 70, 10, 60)}
    made = [row for name in ("pls", "l1") for row in rows("table3", {"prune.criterion": name}, right, seeds=(0, 1))]
    told = doubts(summary(made))
    starts = [
        f"Warning, control of ℓ1-norm and PLS, seed {seed}: the training does harm: without any" for seed in (0, 1)
    ]
    assert [line[: len(start)] for line, start in zip(told, starts, strict=True)] == starts
    assert doubts(summary(rows("table3", {"prune.criterion": "pls"}, THREE))) == []


def test_without_f_nothing_is_said_against_it() -> None:
    said = answer(summary(rows("a", {}, {role: THREE[role] for role in ("control", "F'")})))[0]
    assert said.startswith("Compared with the control, trained again alike but not cut, F′ differs beyond chance in ")


def test_an_autoattack_with_numbers_of_its_own_is_a_strong_attack_as_well() -> None:
    made = [
        row("mine", role, {}, 0, outcome(attack, 50, eps=8 / 255)) for role in THREE for attack in ("fgsm", "ensemble")
    ]
    said = " ".join(answer(summary(made)))
    assert "under ensemble" in said
    assert "FGSM takes a single step" not in said
