"""Counts are chosen, so that every mean is known."""

from tests.report.studied import THREE, four, rows
from windfirm.report.study_words import answer
from windfirm.report.summary import Summary, summary


def beside_a_defence() -> Summary:
    """A pruned network with its control, and one that a defence trained, which has none and is not smaller."""
    whole = dict.fromkeys(THREE, 1000)
    trained = {"F": THREE["F"], "F'": four(40, 50, 60, 92)}
    pruned = rows("mine", {"defend.name": ""}, THREE)
    return summary([*pruned, *rows("mine", {"defend.name": "mixup"}, trained, macs=whole)])


def test_means_over_f_and_over_the_control_are_of_the_same_lines() -> None:
    said = answer(beside_a_defence())[0]
    assert "compared with the control, which had the same extra training, where there is one, it " in said
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
    assert "; no control was trained, so the cut cannot be told from any training that followed it. " in said
    assert "Mean gain in points: semantic +2.00 over F; occlusion −2.00 over F; fgsm +10.00 over F." in said


def test_networks_that_are_not_smaller_are_left_out_of_what_was_removed() -> None:
    grows = [sentence for sentence in answer(beside_a_defence()) if "Does it grow" in sentence]
    assert grows[0].endswith("each kind of cut was made once, of 10 % of the MACs.")
