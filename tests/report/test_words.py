import dataclasses
import math

import pytest

from tests.report.made import CLEAN, GAIN, LOSS, NOTHING, comparison, every
from windfirm.errors import InputError
from windfirm.evaluate.compare import Delta
from windfirm.report import words
from windfirm.report.words import answer

INEQUALITY = "The poster’s inequality, Acc_adv(F′) > Acc_adv(F) while Acc_clean(F′) ≈ Acc_clean(F),"


@pytest.mark.parametrize(
    ("points", "written"),
    [
        (1.58, "(+) 1.58"),
        (-0.6, "(−) 0.60"),
        (0.0, "(±) 0.00"),
        (-0.0, "(±) 0.00"),
        (-0.004, "(±) 0.00"),
        (0.004, "(±) 0.00"),
        (-0.006, "(−) 0.01"),
        (12.345, "(+) 12.35"),
        (math.nan, "–"),
        (math.inf, "–"),
    ],
)
def test_differences_look_like_the_posters(points: float, written: str) -> None:
    assert words.poster(points) == written


def test_signs_in_sentences() -> None:
    assert [words.signed(x) for x in (2.0, -2.0, -0.001, 0.001, math.nan)] == ["+2.00", "−2.00", "0.00", "0.00", "–"]


@pytest.mark.parametrize(
    ("p", "cell", "phrase"),
    [
        (0.0, "<0.001", "p < 0.001"),
        (0.00099, "<0.001", "p < 0.001"),
        (0.001, "0.001", "p = 0.001"),
        (0.0134, "0.013", "p = 0.013"),
        (1.0, "1.000", "p = 1.000"),
        (math.nan, "–", "p = –"),
    ],
)
def test_p_values(p: float, cell: str, phrase: str) -> None:
    assert (words.probability(p), words.p_phrase(p)) == (cell, phrase)


def test_quantities_and_changes() -> None:
    values = (64, 999, 1_000, 853_018, 125_485_000, 61_200_000, 4_090_000_000)
    expected = ["64", "999", "1.000 k", "853.0 k", "125.5 M", "61.20 M", "4.090 G"]
    assert [words.quantity(value) for value in values] == expected
    assert [words.change(200, 100), words.change(100, 100), words.change(0, 1), words.change(100, 112.34)] == [
        "−50.0 %",
        "0.0 %",
        "–",
        "+12.3 %",
    ]


def test_lists_in_sentences() -> None:
    assert [words.listing(["a", "b", "c"][:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_holm_by_hand() -> None:
    # 0.01 * 4 and 0.015 * 3 pass, 0.03 * 2 does not, and it stops 0.04 * 1, which alone would.
    deltas = [Delta(str(p), "F", 1, 0, 2, p) for p in (0.04, 0.01, 0.03, 0.015)]
    assert [delta.p for delta in words.survivors(deltas)] == [0.01, 0.015]


def test_more_robust_than_f_but_only_partly_than_the_control() -> None:
    against_control = {"semantic": NOTHING, "occlusion": (1.9, 0.5, 3.3, 0.01), "fgsm": NOTHING, "clean": CLEAN}
    assert answer(comparison({**every(GAIN), "semantic": NOTHING}, against_control)) == [
        "Clean accuracy shows no difference that 1,000 images can show: 93.10 % for F, 92.70 % for F′ (−0.40 points, "
        "95 % interval −0.90 to +0.10, p = 0.130); a loss of up to 0.90 points cannot be ruled out.",
        "On these 1,000 images, compared with F, the pruned resnet56 is harder to fool by occlusion (+2.00 points) and "
        "fgsm (+2.00 points), with no difference that this many images can show under semantic (+0.40 points); "
        "compared with the control, which had the same extra training, it is harder to fool by occlusion "
        "(+1.90 points), with no difference that this many images can show under semantic (+0.40 points) and fgsm "
        "(+0.40 points). What F′ gained over F under fgsm may be the extra training alone.",
        f"{INEQUALITY} holds here under occlusion and fgsm only, is open under semantic; with the control in the "
        "place of F its first half is shown under occlusion.",
        "8 tests were made, each at p < 0.05: were there no differences, 0.4 would pass by chance. After Holm’s "
        "correction for all 8, these differences stay: F′ − F in occlusion and fgsm.",
        "Intervals and p-values speak for other images of the same kind, not for other trainings of these networks "
        "(one seed, 3) and not for attacks that were not run. FGSM takes a single step: accuracy under it says nothing "
        "yet about iterative attacks such as PGD.",
    ]


def test_more_robust_than_both() -> None:
    sentences = answer(comparison(every(GAIN), every(GAIN)))
    assert sentences[2] == (
        f"{INEQUALITY} holds here under all semantic, occlusion and fgsm; with the control in the place of F its first "
        "half is shown under semantic, occlusion and fgsm."
    )
    assert "alone" not in sentences[1]


def test_a_gain_that_the_control_has_too_is_not_credited_to_the_cut() -> None:
    sentences = answer(comparison(every(GAIN), every(NOTHING)))
    assert sentences[1].endswith(
        "What F′ gained over F under semantic, occlusion and fgsm may be the extra training alone."
    )
    assert sentences[2].endswith("but with the control in the place of F it is shown under none of them.")


def test_less_robust() -> None:
    sentences = answer(comparison(every(LOSS), every(LOSS)))
    assert "the pruned resnet56 is easier to fool by semantic (−2.00 points), occlusion" in sentences[1]
    assert "harder" not in " ".join(sentences)
    assert sentences[2] == f"{INEQUALITY} does not hold here: F′ is easier to fool by semantic, occlusion and fgsm."


def test_mixed() -> None:
    sentences = answer(comparison({**every(GAIN), "semantic": LOSS}, every(GAIN)))
    assert (
        "is harder to fool by occlusion (+2.00 points) and fgsm (+2.00 points) and easier to fool by semantic (−2"
        in sentences[1]
    )
    assert "holds here under occlusion and fgsm only, fails under semantic;" in sentences[2]


def test_no_difference_is_not_called_equality() -> None:
    sentences = answer(comparison(every(NOTHING), every(NOTHING)))
    same = (
        "there is no difference that this many images can show under semantic (+0.40 points), occlusion (+0.40 points)"
    )
    assert sentences[1].count(same) == 2
    assert sentences[2] == f"{INEQUALITY} is not shown here: no attack shows a gain over F."
    assert sentences[3].endswith("for all 8, no difference stays.")


@pytest.mark.parametrize("clean", [LOSS, (-1.0, -2.0, -0.01, 0.06), (-1.0, -2.0, 0.01, 0.04)])
def test_a_loss_of_clean_accuracy_comes_first_and_decides(clean: tuple[float, float, float, float]) -> None:
    sentences = answer(comparison(every(GAIN, clean), every(GAIN, clean)))
    assert sentences[0].startswith("F′ lost clean accuracy: 93.10 % for F, 92.70 % for F′ (")
    assert "; against the control the difference is −" in sentences[0]
    assert sentences[2] == f"{INEQUALITY} does not hold here: clean accuracy was lost."


def test_clean_gain() -> None:
    assert answer(comparison(every(GAIN, GAIN)))[0].startswith("Clean accuracy rose: 93.10 % for F")


def test_a_wide_interval_is_no_proof_that_clean_accuracy_held() -> None:
    wide = (-0.4, -1.6, 0.8, 0.5)
    assert answer(comparison(every(GAIN, wide), every(GAIN)))[2] == (
        f"{INEQUALITY} is shown in its first half only, under semantic, occlusion and fgsm: a clean loss of more "
        "than 1 point is not ruled out."
    )


def test_p_and_interval_must_agree_before_a_gain_is_claimed() -> None:
    for numbers in ((1.0, -0.1, 2.1, 0.04), (1.0, 0.1, 1.9, 0.06)):
        assert "harder" not in answer(comparison(every(numbers)))[1]


def test_without_a_control_the_answer_says_what_is_missing() -> None:
    sentences = answer(comparison(every(GAIN)))
    assert sentences[1].endswith(
        "No control was trained, so the cut cannot be told from the extra training that followed it."
    )
    assert sentences[2] == f"{INEQUALITY} holds here under all semantic, occlusion and fgsm."


def test_an_iterative_attack_needs_no_warning_about_single_steps() -> None:
    made = comparison(every(GAIN))
    renamed = tuple(
        dataclasses.replace(
            s, outcomes=tuple(dataclasses.replace(o, attack=o.attack.replace("semantic", "pgd")) for o in s.outcomes)
        )
        for s in made.subjects
    )
    assert "single step" not in answer(dataclasses.replace(made, subjects=renamed))[-1]


def test_missing_networks_and_missing_clean_accuracy() -> None:
    made = comparison(every(GAIN))
    alone = dataclasses.replace(made, subjects=made.subjects[:1])
    with pytest.raises(InputError, match=r"^comparison: expected the networks F and F', got F$"):
        answer(alone)
    blind = tuple(dataclasses.replace(s, outcomes=s.outcomes[:3]) for s in made.subjects)
    with pytest.raises(InputError, match=r"^comparison, F: expected an outcome on clean images, got none$"):
        answer(dataclasses.replace(made, subjects=blind))
