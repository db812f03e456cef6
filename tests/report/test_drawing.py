import math
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.report import sheet
from tests.report.markup import EVIL, structure
from windfirm.report import drawing, frame
from windfirm.report.drawing import Point, Series, plain
from windfirm.report.drawing.axis import steps
from windfirm.report.drawing.look import looks
from windfirm.report.drawing.scatter import LARGEST
from windfirm.report.drawing.svg import LETTER

NAN = math.nan
X = plain("step")


def series(name: str, *values: float, half: float = 1) -> Series:
    return Series(name, tuple(Point(i, y, y - half, y + half, f"{name} {i}") for i, y in enumerate(values)))


def test_differences_stand_on_a_scale_that_fits_them_and_zero() -> None:
    svg = drawing.lines([series("a", 3, -4)], x=X, y="points", label="l", zero=True)
    # From -5 to 4 in steps of 2: from -6 to 4 on 250 units above 290.
    assert re.findall(r'text-anchor="end">([^<]+)<', svg) == ["−6", "−4", "−2", "0", "+2", "+4"]
    assert '<path class="line s0" d="M52.0,65.0L624.0,240.0"/>' in svg
    assert '<path class="axis" d="M52,140.0H624"/>' in svg  # zero: 6 of 10 above the bottom, 290 - 150
    assert '<path class="band s0" d="M52.0,40.0L624.0,215.0L624.0,265.0L52.0,90.0z"/>' in svg


def test_a_point_without_a_value_or_an_interval_is_not_made_up() -> None:
    points = (*series("a", 50, 60).points, Point(2, 70, NAN, NAN, "bare"), Point(3, NAN, NAN, NAN, "missing"))
    for band, kind in ((True, "band"), (False, "whisker")):
        svg = drawing.lines([Series("a", points)], x=X, y="%", label="l", band=band)
        assert svg.count("<title>") == 3
        assert svg.count(f'class="{kind}') == (1 if band else 2)
    assert "missing" not in svg


def test_bars_by_hand() -> None:
    svg = drawing.bars(["fog", "snow"], [series("a", 50, NAN, half=10), series("b", 100, 0, half=NAN)], label="l")
    # Names of four letters, 7 each, and 12: the plot is 584 wide from 40, a group 31 high from 40.
    assert 'class="bar s0" x="40.0" y="47.0" width="292.0" height="6"' in svg
    assert 'class="bar s1" x="40.0" y="58.0" width="584.0" height="6"' in svg
    assert 'class="whisker s0" d="M273.6,50.0H390.4"' in svg
    assert svg.count("<title>") == 3  # and no bar for what was not measured
    assert svg.count('class="whisker') == 1


def test_a_cell_is_as_strong_as_its_number_is_large_and_empty_without_one() -> None:
    svg = drawing.heat(["a", "b"], ["c", "d"], [[40, -20], [0, NAN]], label="l", said=[["w", "x"], ["y", "z"]])
    assert re.findall(r'class="(warm[ a-z]*)" fill-opacity="([\d.]+)"', svg) == [
        ("warm", "1.00"), ("warm below", "0.50"), ("warm", "0.00"),
    ]  # fmt: skip
    assert re.findall(r"<title>(.)</title>", svg) == ["w", "x", "y"]
    assert svg.count('class="empty"') == 1
    assert "nan" not in svg


def test_the_area_of_a_marker_follows_the_size() -> None:
    points = (Point(0, 1, NAN, NAN, "s", size=25), Point(1, 2, NAN, NAN, "t", size=100))
    svg = drawing.scatter([Series("a", points)], x=X, y="y", label="l", area="MACs")
    assert [float(scale) for scale in re.findall(r"scale\(([\d.]+)\)", svg)] == [LARGEST, LARGEST / 2]
    assert "area: MACs" in svg


def test_labels_stand_beside_their_points_where_there_is_room() -> None:
    apart = drawing.scatter([series("a", 1), Series("b", (Point(9, 9, NAN, NAN, "b"),))], x=X, y="y", label="l")
    assert re.findall(r'class="label">(.)<', apart) == ["a", "b"]
    crowd = [Series(f"network {i}", (Point(i / 1e6, 5, NAN, NAN, "s"),)) for i in range(20)]
    svg = drawing.scatter([*crowd, series("far", 1, 9)], x=X, y="y", label="l")
    assert 0 < svg.count('class="label"') < 20


def test_a_label_keeps_off_whiskers_where_it_can_and_is_above_them() -> None:
    # Two networks side by side; the place to the right of the first is crossed by the interval of the second.
    first, second = Point(4, 5, NAN, NAN, "s", name="first"), Point(4.5, 9, 1, 10, "t")
    around = (Point(0, 5, NAN, NAN, "u"), Point(9, 5, NAN, NAN, "v"))
    known = [Series("a", (first, *around)), Series("b", (second,))]
    svg = drawing.scatter(known, x=X, y="y", label="l")
    label = re.search(r'<text x="([\d.]+)"[^>]*class="label">first<', svg)
    bar = re.search(r"whisker[^M]*M([\d.]+)", svg)
    assert label
    assert bar
    left, right = float(label[1]), float(label[1]) + LETTER * len("first")
    assert not left < float(bar[1]) < right
    assert svg.rindex("whisker") < svg.index('class="label"')


def test_a_line_leads_from_a_crowded_point_to_its_label_and_none_to_one_beside_its_point() -> None:
    middle = Point(5, 5, NAN, NAN, "s", name="middle")
    ring = tuple(Point(5 + x, 5 + y, NAN, NAN, "r") for x in (-0.3, 0, 0.3) for y in (-0.5, 0, 0.5) if x or y)
    far = (Point(0, 0, NAN, NAN, "u"), Point(10, 10, NAN, NAN, "v"))
    crowded, alone = (
        drawing.scatter([Series("a", (middle, *around))], x=X, y="y", label="l") for around in ((*ring, *far), far)
    )
    assert "leader" not in alone
    (start, end) = re.findall(r"[ML]([\d.]+),[\d.]+", re.search(r'class="leader" d="([^"]+)"', crowded)[1])  # type: ignore[index]
    left = float(re.search(r'<text x="([\d.]+)"[^>]*class="label">middle<', crowded)[1])  # type: ignore[index]
    assert start != end
    assert left <= float(end) <= left + LETTER * len("middle") + 2


def test_no_label_stands_on_its_own_mark_where_others_leave_no_room_beside_it() -> None:
    middle = Point(5, 5, NAN, NAN, "s", name="m")
    around = [Point(5 + x, 5 + y, NAN, NAN, "r") for x, y in ((0.39, 0), (-0.39, 0), (0, 0.72), (0, -0.72))]
    far = (Point(0, 0, NAN, NAN, "u"), Point(10, 10, NAN, NAN, "v"))
    svg = drawing.scatter([Series("a", (middle, *around, *far))], x=X, y="y", label="l")
    mark = re.search(r'translate\(([\d.]+) ([\d.]+)\)"><path[^>]*/><title>s<', svg)
    label = re.search(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*class="label">m<', svg)
    assert mark
    assert label
    assert abs(float(label[1]) - float(mark[1])) > LETTER + 5 or abs(float(label[2]) - float(mark[2])) > LETTER + 5
    assert "leader" in svg


def test_nothing_to_draw_is_no_figure() -> None:
    nothing: list[Series] = [Series("a", ()), series("b", NAN)]
    one = series("a", 1)
    assert drawing.lines([*nothing, one], x=X, y="y", label="l") == ""
    assert drawing.bars(["a"], [series("b", NAN)], label="l") == ""
    assert drawing.heat(["a"], ["b"], [[NAN]], label="l", said=[[""]]) == ""
    assert drawing.scatter(nothing, x=X, y="y", label="l") == ""
    assert drawing.bars([], [], label="l") == drawing.heat([], [], [], label="l", said=[]) == ""


def test_a_series_without_points_changes_no_look() -> None:
    svg = drawing.lines([Series("a", ()), series("b", 1, 2)], x=X, y="%", label="l")
    assert 'class="line s1"' in svg
    assert 'class="line s0"' not in svg
    assert svg.count('class="key"') == 1


def test_looks_differ_and_go_by_position() -> None:
    roles = [Series("F", (), "F"), Series("control", (), "control"), Series("F′", (), "F'")]
    many = looks([*roles, *(Series(str(i), ()) for i in range(64))])
    assert len({(look.css, look.marker) for look in many}) == len(many)
    for part in ("css", "dashes", "marker"):
        assert len({getattr(look, part) for look in many[3:11]}) == 8
    assert not {look.marker for look in many[:3]} & {look.marker for look in many[3:11]}
    assert looks([Series("a", ()), *roles])[0] == many[3]


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 9))
def test_marked_values_are_round_few_and_around_the_values(low: float, length: float, about: int) -> None:
    ticks = steps(low, low + length, about)
    step = ticks[1] - ticks[0]
    assert ticks[0] <= low + 1e-6 * step
    assert ticks[-1] >= low + length - 1e-6 * step
    assert about / 2.5 <= len(ticks) - 1 <= about + 2
    assert all(b - a == pytest.approx(step, rel=1e-6) for a, b in pairwise(ticks))
    assert f"{step:.0e}"[0] in "125"


@settings(deadline=None, max_examples=40)
@given(EVIL)
def test_no_name_can_inject_markup(evil: str) -> None:
    name = evil.replace("{", "").replace("}", "")
    # As long as the evil name, so that legends and labels stand as they do there.
    plain_, strange = (sheet.figures("{}" + text) for text in ("n" * len(name), name))
    for title, figure in strange.items():
        assert structure(figure) == structure(plain_[title])


def test_text_in_figures_can_be_read_in_both_themes() -> None:
    for ink, paper, colours in _themes():
        assert contrast(ink, paper) >= 4.5
        assert all(contrast(colours[f"s{i}"], paper) >= 3 for i in range(8))
        for name in ("warm", "cold"):  # a cell lies between the paper and its full colour
            assert contrast(ink, colours[name]) >= 4.5


def _themes() -> list[tuple[str, str, dict[str, str]]]:
    """Ink, paper and the colours of figures for screens, light and dark, and for print."""
    blocks = [
        [dict(re.findall(r"--(\w+): (#\w+)", block)) for block in frame._resource(name).split(":root {")[1:4]]
        for name in frame.STYLES
    ]
    return [(page["ink"], page["paper"], own) for page, own in zip(*blocks, strict=True)]


def contrast(first: str, second: str) -> float:
    """As WCAG 2 defines it."""
    low, high = sorted(map(luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    shares = (int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4))
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_script_is_short_and_alone() -> None:
    script = Path(frame.__file__).with_name("page.js").read_text(encoding="utf-8")
    assert len(script.splitlines()) < 200
    assert not re.search(r"https?:|innerHTML|eval|fetch|XMLHttp|import\b|</", script)
