import re

import pytest

from tests.report.made import CURVE, outcome
from windfirm.evaluate.compare import Role
from windfirm.evaluate.outcome import Outcome
from windfirm.report import chart

POINTS: dict[Role, list[tuple[float, Outcome]]] = {
    role: [(0.0, outcome("clean", 930)), (2 / 255, outcome("fgsm", first)), (8 / 255, outcome("fgsm", last))]
    for role, (first, last) in CURVE.items()
}


def test_the_corners_of_the_plot() -> None:
    for axis in (chart.EPS, chart.plain("size")):
        assert [axis.x_of(value, 0, 8 / 255) for value in (0, 8 / 255)] == [chart.LEFT, chart.RIGHT]
    assert (chart.y_of(0), chart.y_of(1)) == (chart.BOTTOM, chart.TOP)
    middle = (chart.LEFT + chart.RIGHT) / 2
    assert chart.EPS.x_of(2 / 255, 0, 8 / 255) == pytest.approx(middle)  # sqrt(2/8) is a half
    assert chart.plain("severity").x_of(3, 1, 5) == middle
    assert chart.y_of(0.5) == (chart.TOP + chart.BOTTOM) / 2


def test_networks_differ_by_dashes_and_marker_and_not_by_colour_alone() -> None:
    svg = chart.chart(POINTS, chart.EPS, "a label")
    looks = chart.LOOKS.values()
    assert len({look.dashes for look in looks}) == len({look.marker for look in looks}) == 3
    for look in looks:
        assert svg.count(f'class="band {look.css}"') == 1
        assert svg.count(f'class="mark {look.css}"') == 4  # three points and the legend


def test_crowded_labels_give_way_and_the_first_stays() -> None:
    values = [0, 0.001 / 255, 1 / 255, 1.01 / 255, 8 / 255]
    svg = chart.chart({"F": [(value, outcome("fgsm", 1)) for value in values]}, chart.EPS, "a label")
    assert re.findall(r'y="308" text-anchor="middle">([^<]+)<', svg) == ["8", "1.01", "0"]
    assert svg.count('class="tick"') == 5


def test_one_value_is_no_chart() -> None:
    assert chart.chart({"F": POINTS["F"][:1]}, chart.EPS, "a label") == ""
    assert chart.chart({}, chart.EPS, "a label") == ""


def test_texts_are_escaped() -> None:
    svg = chart.chart(POINTS, chart.plain("size < 3"), "a & b")
    assert 'aria-label="a &amp; b"' in svg
    assert "<title>F at size &lt; 3 0.00784: 60.00 %" in svg
    assert ">size &lt; 3<" in svg
