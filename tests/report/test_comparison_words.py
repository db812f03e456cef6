import dataclasses
import math

import pytest

from tests.report.made import CLEAN, GAIN, LOSS, NOTHING, checked, comparison, every, on_clean, outcome
from windfirm.errors import InputError
from windfirm.evaluate.warnings import Finding
from windfirm.report.comparison_words import answer, doubts

INEQUALITY = "The poster’s inequality, Acc_adv(F′) > Acc_adv(F) while Acc_clean(F′) ≈ Acc_clean(F),"
CLOSE = "≈ means within ±1 point, which two one-sided tests show (p = 0.028)"
EVERY = "every attack measured (semantic, occlusion and fgsm)"
FOUND = "‘Would show’ is said of a difference that is found four times in five."


def test_more_robust_than_f_but_only_partly_than_the_control() -> None:
    against_control = {"semantic": NOTHING, "occlusion": (1.9, 0.5, 3.3, 0.004), "fgsm": NOTHING, "clean": CLEAN}
    assert answer(comparison({**every(GAIN), "semantic": NOTHING}, against_control)) == [
        "Clean accuracy shows no difference that 1,000 images can show: 93.10 % for F, 92.70 % for F′ (−0.40 points, "
        "95 % interval −0.90 to +0.10, p = 0.130, corrected 0.650); 1.20 points would show, and a loss of up to 0.90 "
        "cannot be ruled out.",
        "On these 1,000 images, compared with F, the pruned resnet56 is more robust to occlusion (+2.00 points) and "
        "fgsm (+2.00 points), with no difference that this many images can show under semantic (+0.40 points; 1.20 "
        "would show); compared with the control, which had the same extra training, it is more robust to occlusion "
        "(+1.90 points), with no difference that this many images can show under semantic (+0.40 points; 1.20 would "
        "show) and fgsm (+0.40 points; 1.20 would show). What F′ gained over F under fgsm may be the extra training "
        "alone.",
        f"{INEQUALITY} holds here under occlusion and fgsm only, is open under semantic; with the control in the "
        f"place of F its first half is shown under occlusion; {CLOSE}.",
        "8 tests were made; a difference is named where p < 0.05 after Holm’s correction for all. Without it nothing "
        f"more would be named. {FOUND}",
        "Intervals and p-values speak for other images of the same kind, not for other trainings of these networks "
        "(one seed, 3) and not for attacks that were not run. FGSM takes a single step: accuracy under it says nothing "
        "yet about iterative attacks such as PGD.",
    ]


def test_a_difference_that_the_correction_takes_away_is_told_and_not_claimed() -> None:
    weak = (2.0, 0.2, 3.8, 0.03)
    sentences = answer(comparison({**every(NOTHING), "fgsm": weak}, every(NOTHING)))
    assert "more robust" not in " ".join(sentences)
    assert "fgsm (+2.00 points; 1.20 would show)" in sentences[1]
    assert "Without it F′ − F in fgsm would be named as well." in sentences[3]


def test_one_test_needs_no_correction() -> None:
    made = comparison({"clean": CLEAN})
    blind = tuple(dataclasses.replace(s, outcomes=s.outcomes[3:]) for s in made.subjects)
    sentences = answer(dataclasses.replace(made, subjects=blind))
    assert sentences[0].endswith(
        "(−0.40 points, 95 % interval −0.90 to +0.10, p = 0.130); 1.20 points would show, and a loss of up to 0.90 "
        "cannot be ruled out."
    )
    assert sentences[1:3] == [
        "No attack was measured: nothing is known about robustness.",
        f"One test was made, at p < 0.05. {FOUND}",
    ]


def test_more_robust_than_both() -> None:
    sentences = answer(comparison(every(GAIN), every(GAIN)))
    assert sentences[2] == (
        f"{INEQUALITY} holds here under {EVERY}; with the control in the place of F its first "
        f"half is shown under semantic, occlusion and fgsm; {CLOSE}."
    )
    assert "alone" not in sentences[1]


def test_a_gain_that_the_control_has_too_is_not_credited_to_the_cut() -> None:
    sentences = answer(comparison(every(GAIN), every(NOTHING)))
    assert sentences[1].endswith(
        "What F′ gained over F under semantic, occlusion and fgsm may be the extra training alone."
    )
    assert sentences[2].endswith(f"but with the control in the place of F it is shown under none of them; {CLOSE}.")


def test_less_robust() -> None:
    sentences = answer(comparison(every(LOSS), every(LOSS)))
    assert "the pruned resnet56 is less robust to semantic (−2.00 points), occlusion" in sentences[1]
    assert "more robust" not in " ".join(sentences)
    assert sentences[2] == (
        f"{INEQUALITY} does not hold here: F′ is less robust to semantic, occlusion and fgsm; {CLOSE}."
    )


def test_mixed() -> None:
    sentences = answer(comparison({**every(GAIN), "semantic": LOSS}, every(GAIN)))
    assert (
        "is more robust to occlusion (+2.00 points) and fgsm (+2.00 points) and less robust to semantic (−2"
        in sentences[1]
    )
    assert "holds here under occlusion and fgsm only, fails under semantic;" in sentences[2]


def test_no_difference_is_not_called_equality() -> None:
    sentences = answer(comparison(every(NOTHING), every(NOTHING)))
    same = "there is no difference that this many images can show under semantic (+0.40 points; 1.20 would show), occ"
    assert sentences[1].count(same) == 2
    assert sentences[2] == f"{INEQUALITY} is not shown here: no attack shows a gain over F; {CLOSE}."


@pytest.mark.parametrize("clean", [LOSS, (-1.0, -2.0, -0.01, 0.06), (-1.0, -2.0, 0.01, 0.04)])
def test_a_loss_of_clean_accuracy_comes_first_and_decides(clean: tuple[float, float, float, float]) -> None:
    sentences = answer(on_clean(comparison(every(GAIN, clean), every(GAIN, clean)), 10, 20))
    assert sentences[0].startswith("F′ is less accurate on clean images: 99.00 % for F, 98.00 % for F′ (")
    assert "; against the control the difference is −" in sentences[0]
    assert sentences[2].startswith(
        f"{INEQUALITY} does not hold here: clean accuracy was lost; ≈ means within ±1 point, which two one-sided tests "
        "do not show (p = 0."
    )


def test_a_loss_that_is_named_without_the_correction_is_not_named_again() -> None:
    clean = (-1.0, -2.0, -0.1, 0.04)
    (tests,) = (s for s in answer(comparison(every(NOTHING, clean), every(NOTHING))) if "tests were made" in s)
    assert "Without it nothing more would be named." in tests


def test_a_loss_within_the_margin_is_told_beside_the_equivalence() -> None:
    sentences = answer(comparison(every(GAIN, (-0.4, -0.6, -0.2, 0.0001))))
    assert sentences[0].startswith("F′ is less accurate on clean images")
    assert sentences[2].endswith(
        f"holds here under {EVERY}; ≈ means within ±1 point, which two one-sided tests show "
        "(p = 0.028), though clean accuracy was lost."
    )


def test_clean_gain() -> None:
    sentences = answer(on_clean(comparison(every(GAIN, GAIN)), 40, 20))
    assert sentences[0].startswith("F′ is more accurate on clean images: 96.00 % for F")
    assert sentences[2].endswith(
        f"holds here under {EVERY}; ≈ means within ±1 point, which two one-sided tests do not "
        "show (p = 0.905), and clean accuracy rose, which counts as well."
    )


def test_a_wide_interval_is_no_proof_that_clean_accuracy_held() -> None:
    wide = (-0.4, -1.6, 0.8, 0.5)
    assert answer(on_clean(comparison(every(GAIN, wide), every(GAIN)), 24, 28))[2] == (
        f"{INEQUALITY} is shown in its first half only, under semantic, occlusion and fgsm; ≈ means within ±1 point, "
        "which two one-sided tests do not show (p = 0.205)."
    )


def test_the_margin_is_the_comparisons_own() -> None:
    made = dataclasses.replace(comparison(every(GAIN)), margin=0.5)
    assert "≈ means within ±0.5 points, which two one-sided tests do not show (p = 0.327)." in answer(made)[2]


def test_p_and_interval_must_agree_before_a_gain_is_claimed() -> None:
    for numbers in ((1.0, -0.1, 2.1, 0.004), (1.0, 0.1, 1.9, 0.06)):
        assert "more robust" not in answer(comparison(every(numbers)))[1]


def test_without_a_control_the_answer_says_what_is_missing() -> None:
    sentences = answer(comparison(every(GAIN)))
    assert sentences[1].endswith(
        "No control was measured, so the cut cannot be told from any training that followed it."
    )
    assert sentences[2] == f"{INEQUALITY} holds here under {EVERY}; {CLOSE}."


def test_doubts_name_the_network_and_silence_means_that_none_was_sought() -> None:
    made = comparison(every(GAIN))
    assert doubts(made) == []
    assert doubts(checked(made)) == ["Checks of gradients and outputs on 200 images found no reason to doubt F and F′."]
    found = Finding("zero gradients", "9 of 180 rightly classified images have no gradient")
    assert doubts(checked(made, found)) == [
        "Warning, F′: zero gradients: 9 of 180 rightly classified images have no gradient."
    ]


def test_a_control_that_the_training_harmed_is_a_doubt() -> None:
    made = comparison(every(GAIN), every(GAIN))
    f, control, pruned = made.subjects
    worse = dataclasses.replace(control, outcomes=(*control.outcomes[:3], outcome("clean", 700)))
    harmed = dataclasses.replace(made, subjects=(f, worse, pruned))
    assert doubts(made) == []
    (line,) = doubts(harmed)
    said = "without any cut it leaves 70.0 % of clean images right, where F has 93.1 %"
    assert line.startswith(f"Warning, control: the training does harm: {said}")
    assert doubts(checked(harmed))[1].startswith("Checks of gradients and outputs")


@pytest.mark.parametrize("iterative", ["pgd", "apgd-t", "fab-t", "deepfool", "autoattack", "square"])
def test_an_iterative_attack_needs_no_warning_about_single_steps(iterative: str) -> None:
    made = comparison(every(GAIN))
    renamed = tuple(
        dataclasses.replace(
            s,
            outcomes=tuple(dataclasses.replace(o, attack=o.attack.replace("semantic", iterative)) for o in s.outcomes),
        )
        for s in made.subjects
    )
    assert "single step" not in answer(dataclasses.replace(made, subjects=renamed))[-1]


def test_so_few_images_that_nothing_would_show() -> None:
    made = comparison(every(NOTHING))
    deltas = tuple(dataclasses.replace(delta, smallest=math.inf) for delta in made.deltas)
    clean, robust, *_ = answer(dataclasses.replace(made, deltas=deltas))
    assert "; none would show, and a loss of up to" in clean
    assert "semantic (+0.40 points; none would show)" in robust


def test_missing_networks_and_missing_clean_accuracy() -> None:
    made = comparison(every(GAIN))
    alone = dataclasses.replace(made, subjects=made.subjects[:1])
    with pytest.raises(InputError, match=r"^comparison: expected the networks F and F', got F$"):
        answer(alone)
    blind = tuple(dataclasses.replace(s, outcomes=s.outcomes[:3]) for s in made.subjects)
    with pytest.raises(InputError, match=r"^comparison, F: expected an outcome on clean images, got none$"):
        answer(dataclasses.replace(made, subjects=blind))
