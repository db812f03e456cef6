import math

import pytest

from tests.report.made import GAIN, LOSS, delta
from windfirm.report import words


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
    values = (64, 999, 1_000, 853_018, 999_960, 99_999_999, 125_485_000, 61_200_000, 4_090_000_000, 2e13)
    expected = ["64", "999", "1.000 k", "853.0 k", "1.000 M", "100.0 M", "125.5 M", "61.20 M", "4.090 G", "20000 G"]
    assert [words.quantity(value) for value in values] == expected
    assert [words.change(200, 100), words.change(100, 100), words.change(0, 1), words.change(100, 112.34)] == [
        "−50.0 %",
        "0.0 %",
        "–",
        "+12.3 %",
    ]


def test_lists_in_sentences() -> None:
    assert [words.listing(["a", "b", "c"][:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_verdicts_in_a_cell() -> None:
    cells = [("fgsm", GAIN, 0.04), ("fgsm", LOSS, 0.04), ("fgsm", GAIN, 0.06), ("clean", GAIN, 0.01)]
    cells += [("clean", LOSS, 0.9), ("average", GAIN, 0.01), ("fgsm", GAIN, math.nan)]
    assert [words.verdict(delta(attack, "F", numbers, adjusted)) for attack, numbers, adjusted in cells] == [
        "more robust",
        "less robust",
        "no difference shown",
        "more accurate",
        "less accurate",
        "more often right",
        "–",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5399, "90 min"), (5400, "1.5 h"), (36_000, "10.0 h")],
)
def test_times_are_told_as_people_say_them(seconds: float, said: str) -> None:
    assert words.duration(seconds) == said
