import dataclasses

import pytest

from tests.report.made import GAIN, comparison, every, outcome
from windfirm.errors import InputError
from windfirm.evaluate.curves import Curve
from windfirm.evaluate.outcome import Outcome
from windfirm.report import Layer, figure

MADE = comparison(every(GAIN), every(GAIN))


def test_known_points_stand_where_they_belong() -> None:
    # F: clean 93.1 %, 60 % at 2/255, 18.6 % at 8/255; the plot is 572 wide from 52 and 250 high above 290.
    assert '<path class="line f" d="M52.0,57.2L338.0,140.0L624.0,243.5"/>' in figure.curve(MADE)


def test_hovering_tells_the_numbers() -> None:
    # Wilson for 600 of 1000: (0.6 + 0.00192) / 1.00384 ± 0.03030
    assert "<title>F at eps 2/255: 60.00 % (95 %: 56.93 to 62.99)</title>" in figure.curve(MADE)


def test_without_a_sweep_there_is_no_curve() -> None:
    bare = tuple(dataclasses.replace(subject, curve=()) for subject in MADE.subjects)
    assert figure.curve(dataclasses.replace(MADE, subjects=bare)) == ""


def sizes(*right: int) -> Curve:
    return Curve("size", (0.0, 8.0, 32.0), tuple(outcome("occlusion", count) for count in right))


def test_other_values_stand_on_an_even_axis() -> None:
    svg = figure.sweep({"F'": sizes(900, 700, 100), "F": sizes(900, 600, 100)})
    assert '<path class="line f" d="M52.0,65.0L195.0,140.0L624.0,265.0"/>' in svg  # 8 of 32 is a quarter of the way
    assert '<path class="line pruned" d="M52.0,65.0L195.0,115.0L624.0,265.0" stroke-dasharray="2 3"/>' in svg
    assert "<title>F at size 8: 60.00 % (95 %: 56.93 to 62.99)</title>" in svg
    assert 'aria-label="Accuracy against size: occlusion in words"' in svg


def test_a_sweep_of_eps_stands_where_that_of_a_comparison_stands() -> None:
    points = figure.points(MADE.subjects[0])
    curve = Curve("eps", tuple(eps for eps, _ in points), tuple(outcome for _, outcome in points))
    assert '<path class="line f" d="M52.0,57.2L338.0,140.0L624.0,243.5"/>' in figure.sweep({"F": curve})


def test_curves_of_different_things_do_not_share_a_figure() -> None:
    other = dataclasses.replace(sizes(3, 2, 1), what="turn")
    with pytest.raises(InputError) as error:
        figure.sweep({"F": sizes(3, 2, 1), "F'": other})
    assert str(error.value) == "sweep: expected curves of one thing, got size, turn"


def test_every_sweep_of_a_comparison_is_a_figure_of_all_its_networks() -> None:
    eps = Curve("eps", (0.0, 8 / 255), (outcome("pgd", 900, eps=0.0), outcome("pgd", 10, eps=8 / 255)))
    swept = tuple(dataclasses.replace(subject, sweeps=(sizes(900, 600, 100), eps)) for subject in MADE.subjects)
    (size, drawn, said), (name, _, words) = figure.sweeps(dataclasses.replace(MADE, subjects=swept))
    assert (size, said) == ("occlusion against size", "at size 32, occlusion in words")
    assert (name, words) == ("pgd against eps", "pgd in words")
    assert [role in drawn for role in ("<title>F at size 8", "<title>F′ at size 8", "<title>control at size 8")] == [
        True
    ] * 3
    assert figure.sweeps(MADE) == []


def titled(title: str, eps: float) -> Outcome:
    return dataclasses.replace(outcome("pgd", 500, eps=eps), title=title)


def test_two_sweeps_of_one_attack_that_differ_in_an_option_are_two_figures() -> None:
    steps = [titled(f"PGD, {n} steps", 8 / 255) for n in (1, 1, 20, 20)]
    both = tuple(Curve("eps", (1 / 255, 8 / 255), tuple(two)) for two in (steps[:2], steps[2:]))
    swept = tuple(dataclasses.replace(subject, sweeps=both) for subject in MADE.subjects)
    assert [said for _, _, said in figure.sweeps(dataclasses.replace(MADE, subjects=swept))] == [
        "PGD, 1 steps",
        "PGD, 20 steps",
    ]


def test_numbers_of_an_axis_are_those_that_were_asked_for() -> None:
    queries = Curve("queries", (500.0, 2500.0), (outcome("square", 500), outcome("square", 400)))
    assert "<title>F at queries 2,500: 40.00 %" in figure.sweep({"F": queries})
    svg = figure.sweep({"F": Curve("eps", (0.5, 4.0), (titled("PGD, L2", 0.5), titled("PGD, L2", 4.0)))})
    assert "<title>F at eps 4: 50.00 %" in svg  # a length, not 1020/255
    assert "eps, a length in L2" in svg


def test_profile_bars_by_hand() -> None:
    svg = figure.profile([Layer("conv1", 16, 4), Layer("a.very.long.path.to.layer3.8.conv1", 64, 64)], 64)
    assert 'class="before" x="130" y="3.5" width="28.0"' in svg  # 16 of 64 on a line of 112
    assert 'class="after" x="130" y="3.5" width="7.0"' in svg
    assert 'class="after" x="130" y="20.5" width="112.0"' in svg
    assert ">4/16</text>" in svg
    assert ">…h.to.layer3.8.conv1</text>" in svg  # the end of the name, in 20 characters
    assert "<title>a.very.long.path.to.layer3.8.conv1: 64 of 64 filters kept</title>" in svg
