import dataclasses
import re

import pytest

from tests.report.made import GAIN, comparison, every
from windfirm.report import Layer, figure

MADE = comparison(every(GAIN), every(GAIN))


def test_the_corners_of_the_plot() -> None:
    assert (figure.x_of(0, 8 / 255), figure.x_of(8 / 255, 8 / 255)) == (figure.LEFT, figure.RIGHT)
    assert (figure.y_of(0), figure.y_of(1)) == (figure.BOTTOM, figure.TOP)
    assert figure.x_of(2 / 255, 8 / 255) == pytest.approx((figure.LEFT + figure.RIGHT) / 2)  # sqrt(2/8) is a half
    assert figure.y_of(0.5) == (figure.TOP + figure.BOTTOM) / 2


def test_known_points_stand_where_they_belong() -> None:
    # F: clean 93.1 %, 60 % at 2/255, 18.6 % at 8/255; the plot is 572 wide from 52 and 250 high above 290.
    assert '<path class="line f" d="M52.0,57.2L338.0,140.0L624.0,243.5"/>' in figure.curve(MADE)


def test_networks_differ_by_dashes_and_marker_and_not_by_colour_alone() -> None:
    svg = figure.curve(MADE)
    assert (
        len({look.dashes for look in figure.LOOKS.values()})
        == len({look.marker for look in figure.LOOKS.values()})
        == 3
    )
    for look in figure.LOOKS.values():
        assert svg.count(f'class="band {look.css}"') == 1
        assert svg.count(f'class="mark {look.css}"') == 4  # three points and the legend


def test_hovering_tells_the_numbers() -> None:
    # Wilson for 600 of 1000: (0.6 + 0.00192) / 1.00384 ± 0.03030
    assert "<title>F at eps 2/255: 60.00 % (95 %: 56.93 to 62.99)</title>" in figure.curve(MADE)


def test_crowded_labels_give_way_and_zero_stays() -> None:
    svg = figure._axes([0, 0.001 / 255, 1 / 255, 1.01 / 255, 8 / 255])
    labels = re.findall(r'y="308" text-anchor="middle">([^<]+)<', svg)
    assert labels == ["8", "1.01", "0"]
    assert svg.count('class="tick"') == 5


def test_without_a_sweep_there_is_no_curve() -> None:
    bare = tuple(dataclasses.replace(subject, curve=()) for subject in MADE.subjects)
    assert figure.curve(dataclasses.replace(MADE, subjects=bare)) == ""


def test_profile_bars_by_hand() -> None:
    svg = figure.profile([Layer("conv1", 16, 4), Layer("a.very.long.path.to.layer3.8.conv1", 64, 64)], 64)
    assert 'class="before" x="130" y="3.5" width="28.0"' in svg  # 16 of 64 on a line of 112
    assert 'class="after" x="130" y="3.5" width="7.0"' in svg
    assert 'class="after" x="130" y="20.5" width="112.0"' in svg
    assert ">4/16</text>" in svg
    assert ">…h.to.layer3.8.conv1</text>" in svg  # the end of the name, in 20 characters
    assert "<title>a.very.long.path.to.layer3.8.conv1: 64 of 64 filters kept</title>" in svg
