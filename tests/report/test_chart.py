import re

from tests.report.made import CURVE, outcome
from windfirm.evaluate.compare import Role
from windfirm.evaluate.outcome import Outcome
from windfirm.report.chart import chart
from windfirm.report.drawing import EPS, plain
from windfirm.report.drawing.look import ROLES

POINTS: dict[Role, list[tuple[float, Outcome]]] = {
    role: [(0.0, outcome("clean", 930)), (2 / 255, outcome("fgsm", first)), (8 / 255, outcome("fgsm", last))]
    for role, (first, last) in CURVE.items()
}


def test_networks_differ_by_dashes_and_marker_and_not_by_colour_alone() -> None:
    svg = chart(POINTS, EPS, "a label")
    looks = ROLES.values()
    assert len({look.dashes for look in looks}) == len({look.marker for look in looks}) == 3
    for look in looks:
        assert svg.count(f'class="band {look.css}"') == 1
        assert svg.count(f'class="mark {look.css}"') == 4  # three points and the legend


def test_crowded_labels_give_way_and_the_first_stays() -> None:
    values = [0, 0.001 / 255, 1 / 255, 1.01 / 255, 8 / 255]
    svg = chart({"F": [(value, outcome("fgsm", 1)) for value in values]}, EPS, "a label")
    assert re.findall(r'y="308" text-anchor="middle">([^<]+)<', svg) == ["8", "1.01", "0"]
    assert svg.count('class="tick"') == 5


def test_one_value_is_no_chart() -> None:
    assert chart({"F": POINTS["F"][:1]}, EPS, "a label") == ""
    assert chart({}, EPS, "a label") == ""


def test_texts_are_escaped() -> None:
    svg = chart(POINTS, plain("size < 3"), "a & b")
    assert 'aria-label="a &amp; b"' in svg
    assert "<title>F at size &lt; 3 0.00784314: 60.00 %" in svg
    assert ">size &lt; 3<" in svg
