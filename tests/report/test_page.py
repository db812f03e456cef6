import base64
import hashlib
import re
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray
from PIL import Image

from tests.report.made import GAIN, NAN, NOTHING, checked, comparison, every
from tests.report.markup import EVIL as STRANGE
from tests.report.markup import read, structure
from windfirm.evaluate.examples import Example, View
from windfirm.evaluate.warnings import Finding
from windfirm.report import Layer, page
from windfirm.report.page import _amplified, _factor, uri

EVIL = "<script>alert(1)</script>"


def example(attack: str, *, shared: bool, number: int = 0, label: int = 1) -> Example:
    noise = np.random.default_rng(number)
    clean = noise.integers(8, 248, (32, 32, 3)).astype(np.uint8)

    def attacked() -> NDArray[np.uint8]:
        return clean + noise.choice([-8, 8], clean.shape).astype(np.uint8)  # -8 wraps to 248, and the sum back

    image = attacked()
    said = {"F": 0, "control": 0, "F'": 1}
    views = {role: View(image if shared else attacked(), predicted) for role, predicted in said.items()}
    return Example(number, label, attack, clean, views)


def full(name: str = "resnet56", classes: tuple[str, ...] = ("cat", "dog")) -> str:
    return page(
        comparison(every(GAIN), every(GAIN), name=name),
        title=f"Pruned {name}",
        examples=[example("semantic", shared=True), example("fgsm", shared=False)],
        classes=classes,
        profile=[Layer(name, 16, 8)],
        provenance={"command": f"windfirm compare {name}", "seed": "3"},
    )


def test_the_page_is_balanced_and_asks_nobody_for_anything() -> None:
    html = full()
    reader = read(html)
    outside_images = re.sub(r'"data:image/png;base64,[^"]*"', "", html)
    assert not re.search(r"https?:|//|@import|url\(", outside_images)
    assert reader.tags.count("script") == 1  # the page's own, whose digest the page names
    assert not {"link", "iframe", "object", "form"} & set(reader.tags)
    assert not re.search(r"\bnan\b|\binf\b|None", reader.text)
    assert all(value.startswith("data:image/png;base64,") for value in re.findall(r'src="([^"]*)"', html))


def test_the_answer_comes_first_and_everything_is_there() -> None:
    text = read(full()).text
    parts = (
        "Pruned resnet56",
        "Clean accuracy shows no difference",
        "Accuracy",
        "Cost",
        "Accuracy against eps",
        "Examples",
    )
    places = [text.index(part) for part in (*parts, "What is left", "How it was made", "windfirm compare resnet56")]
    assert places == sorted(places)
    for cell in ("(+) 2.00", "+1.00 to +3.00", "p < 0.001", "−50.0 %", "fgsm in words, eps 8/255", "8/16"):
        assert cell in text


def test_verdicts_are_marked_by_a_sign_and_not_by_colour_alone() -> None:
    text = read(full()).text
    assert text.count("✗\xa0cat") == 4  # F and control, of two examples
    assert text.count("✓\xa0dog") == 2


def test_white_box_images_are_shown_for_each_network_and_shared_ones_once() -> None:
    text = read(full()).text
    assert [text.count(row) for row in ("attacked on F", "attacked on control", "attacked on F′", "control says")] == [
        2,
        1,
        1,
        1,
    ]


def test_each_difference_has_its_verdict_both_intervals_and_both_p_values() -> None:
    text = read(page(comparison({**every(NOTHING), "fgsm": GAIN}), title="t")).text
    for cells in (
        "F′ is95 % intervalby bootstrappaired testafter Holmwould show",
        "(+) 0.40no difference shown−0.50 to +1.30−0.48 to +1.28p = 0.420p = 0.8401.20",
        "(+) 2.00more robust+1.00 to +3.00+1.02 to +2.98p < 0.001p < 0.0011.20",
    ):
        assert cells in text


def test_warnings_and_calibration_are_shown() -> None:
    made = checked(comparison(every(GAIN)), Finding("zero gradients", EVIL))
    html = page(made, title="t")
    text = read(html).text
    assert f"Warning, F′: zero gradients: {EVIL}." in text
    assert EVIL not in html
    assert "F′4.120.3011.700.980.244" in text


def test_names_from_outside_are_inert() -> None:
    html = full(EVIL, ("cat", EVIL))
    reader = read(html)
    assert html.count("<script") == reader.tags.count("script") == 1
    assert EVIL in reader.text


@settings(deadline=None, max_examples=15)
@given(STRANGE)
def test_no_name_can_inject_markup(evil: str) -> None:
    assert structure(full(evil, ("cat", evil))) == structure(full("harmless", ("cat", "harmless")))


def test_the_policy_admits_the_script_that_is_there_and_no_other() -> None:
    html = full()
    script = html.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    assert f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}';" in html


def test_every_example_says_whom_it_fooled() -> None:
    # F and the control say 0, F' says 1, and the truth is 1.
    assert set(re.findall(r'<td data-fooled="([^"]*)"', full())) == {"F control"}


def test_a_label_without_a_name_is_a_number() -> None:
    assert "class 1" in read(full(classes=())).text


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (4, "RGB"), (5, "RGB")])
def test_images_of_any_channels_have_a_picture_without_transparency(channels: int, mode: str) -> None:
    data = uri(np.full((4, 4, channels), 7, np.uint8)).partition(",")[2]
    with Image.open(BytesIO(base64.b64decode(data))) as image:
        assert image.mode == mode


def test_forty_examples_stay_below_a_megabyte() -> None:
    examples = [example("fgsm", shared=False, number=i) for i in range(40)]
    assert len(page(comparison(every(GAIN)), title="t", examples=examples)) < 1_000_000


def test_a_bare_comparison_makes_a_page_without_the_parts_it_lacks() -> None:
    reader = read(page(comparison({**every(GAIN), "fgsm": NAN}), title="t"))
    assert "Examples" not in reader.text
    assert "What is left" not in reader.text
    assert "nan" not in reader.text


@pytest.mark.parametrize(
    ("largest", "factor"), [(0, 100), (1, 100), (8, 10), (12, 10), (13, 5), (127, 1), (128, 0.5), (255, 0.5)]
)
def test_a_difference_is_amplified_as_far_as_nothing_is_clipped(largest: int, factor: float) -> None:
    clean = np.zeros((1, 2, 3), np.uint8)
    attacked = clean.copy()
    attacked[0, 1] = largest
    assert _factor([Example(0, 0, "fgsm", clean, {"F": View(attacked, 0)})]) == factor
    shown = _amplified(clean, attacked, factor)
    assert shown[0, 0].tolist() == [128] * 3
    assert shown[0, 1].tolist() == [round(127.5 + factor * largest)] * 3
