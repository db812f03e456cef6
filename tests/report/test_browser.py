"""The pages in a real browser; skipped where there is none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.browser import Browser, axe, browser, lacking
from tests.report.made import GAIN, checked, comparison, every
from tests.report.sheet import sheet
from tests.report.test_pruning import RECORD
from tests.report.test_study import swept, table3
from windfirm.evaluate.examples import Example, View
from windfirm.evaluate.warnings import Finding
from windfirm.report import Layer, page, pruning, study
from windfirm.report.page import strips
from windfirm.report.summary import summary

pytestmark = pytest.mark.skipif(bool(lacking()), reason=lacking() or "there is a browser")
PAGES = ("compare", "pruning", "sheet", "study")

BUTTONS, STRIPS = ("[...document.querySelectorAll('.filter button')]", "[...document.querySelectorAll('.strip')]")
VISIBLE = "[...row.querySelectorAll('td')].filter(e => e.getBoundingClientRect().width).length"

#: Whom each example fooled: F and F′.
FOOLED = ((True, False), (True, False), (True, True), (False, True), (False, False))


def example(number: int, attack: str) -> Example:
    noise = np.random.default_rng(number)
    clean, attacked = (noise.integers(0, 256, (8, 8, 3)).astype(np.uint8) for _ in range(2))
    first, second = FOOLED[number]
    return Example(
        number, 1, attack, clean, {"F": View(attacked, int(not first)), "F'": View(attacked, int(not second))}
    )


@pytest.fixture(scope="session")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    compared = page(
        checked(comparison(every(GAIN), every(GAIN)), Finding("zero gradients", "of 12 % of the images")),
        title="Pruned resnet56",
        examples=[example(number, attack) for attack in ("semantic", "fgsm") for number in range(len(FOOLED))],
        classes=("cat", "dog"),
        profile=[Layer(f"layer{i}.0.conv1", 16, 16 - i) for i in range(14)],
        provenance={"command": "windfirm compare " + 30 * "a-long-name/"},
    )
    studies = [summary(table3()), summary(swept())]
    pictures = {
        studies[0].run: ("Some.", strips([example(number, "fgsm") for number in range(len(FOOLED))], ("cat",), {}))
    }
    studied = study.page(studies, title="Studies", pictures=pictures)
    texts = {"compare": compared, "pruning": pruning.page(RECORD), "sheet": sheet(), "study": studied}
    paths = {name: folder / f"{name}.html" for name in texts}
    for name, path in paths.items():
        path.write_text(texts[name], encoding="utf-8")
    return paths


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_without_a_complaint_and_asks_for_itself_alone(
    window: Browser, written: dict[str, Path], name: str
) -> None:
    window.open(written[name])
    assert window.log("browser") == []
    assert window.requests() == [written[name].as_uri()]
    assert (
        window.script("return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:'))") == []
    )


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_not_scroll_sideways(window: Browser, written: dict[str, Path], name: str, width: int) -> None:
    window.open(written[name], width=width)
    window.script("document.querySelectorAll('details').forEach(e => e.open = true)")
    seen, whole = window.script("const e = document.documentElement; return [innerWidth, e.scrollWidth]")
    assert seen == width
    assert whole <= width


@pytest.mark.skipif(not axe(), reason="no axe-core")
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(window: Browser, written: dict[str, Path], name: str, *, dark: bool) -> None:
    window.open(written[name], dark=dark)
    window.script("document.querySelectorAll('details').forEach(e => e.open = true)")
    assert violations(window) == []


@pytest.mark.skipif(not axe(), reason="no axe-core")
def test_axe_sees_what_is_wrong(window: Browser, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.html"
    wrong.write_text(
        '<html lang="en"><title>t</title><main><h1>h</h1><p style="color: #aaa">pale words</p>', encoding="utf-8"
    )
    window.open(wrong)
    assert violations(window) == [["serious", "color-contrast"]]


def violations(window: Browser) -> Any:
    """Impact and rule of everything that axe-core finds."""
    window.command("Runtime.evaluate", expression=axe())
    run = "axe.run({resultTypes: ['violations']}).then(found => found.violations.map(v => [v.impact, v.id]))"
    found = window.command("Runtime.evaluate", expression=run, awaitPromise=True, returnByValue=True)
    return found["result"]["value"]


def rows(window: Browser) -> list[str]:
    return list(window.script("return [...document.querySelectorAll('.sortable tbody th')].map(e => e.textContent)"))


def test_a_header_sorts_up_then_down_then_back(window: Browser, written: dict[str, Path]) -> None:
    window.open(written["pruning"])
    window.script("document.querySelector('details:has(.sortable)').open = true")
    before = rows(window)
    assert before == ["conv1", "layer1.0.conv1", "layer1.1.conv1", "fc"]
    states = []
    for _ in range(3):
        window.keys(".sortable th:nth-child(4) button", "\ue007")  # Enter
        sort = window.script("return document.querySelector('.sortable th:nth-child(4)').getAttribute('aria-sort')")
        states.append((sort, rows(window)))
    assert states == [
        ("ascending", ["layer1.1.conv1", "layer1.0.conv1", "fc", "conv1"]),  # 0, 4, 10, 16: numbers, not text
        ("descending", ["conv1", "fc", "layer1.0.conv1", "layer1.1.conv1"]),
        (None, before),
    ]
    window.script("document.querySelector('.sortable th:nth-child(2) button').click()")  # kind: three alike stay
    assert rows(window) == ["conv1", "layer1.0.conv1", "layer1.1.conv1", "fc"]


@pytest.mark.parametrize(("name", "series"), [("compare", "F′"), ("sheet", "taylor, both")])
def test_the_legend_hides_a_series_and_shows_it_again(
    window: Browser, written: dict[str, Path], name: str, series: str
) -> None:
    window.open(written[name])
    shown = """const parts = [...document.querySelectorAll('[data-series]:not(.key)')];
        return parts.filter(e => e.dataset.series === arguments[0] && e.getBoundingClientRect().width).length"""
    key = f'.key[data-series="{series}"]'
    states: list[Any] = []
    for press in ("", " ", "\ue007"):
        window.keys(key, press) if press else None
        pressed = window.script(f"return document.querySelector('{key}').getAttribute('aria-pressed')")
        states.append((pressed, window.script(shown, series)))
    (on, all_), (off, fewer), again = states
    assert (on, off) == ("true", "false")
    assert fewer < all_
    assert again == (on, all_)


def test_examples_are_filtered_by_whom_they_fooled(window: Browser, written: dict[str, Path]) -> None:
    window.open(written["compare"])
    shown = {}
    for button in window.script(f"return {BUTTONS}.map(e => e.textContent)"):
        window.script(f"{BUTTONS}.find(e => e.textContent === arguments[0]).click()", button)
        cells = window.script(f"return {STRIPS}.map(strip => [...strip.rows].map(row => {VISIBLE}))")
        assert len({count for strip in cells for count in strip}) == 1  # every row of both strips
        said = window.script("return document.querySelector('.filter output').textContent")
        assert said == f"{2 * cells[0][0]} of 10 examples"
        shown[button] = cells[0][0]
    assert shown == {"all": 5, "only F fooled": 2, "only F′ fooled": 1, "both": 1, "neither": 1}


@pytest.mark.parametrize("name", PAGES)
def test_without_scripts_there_is_everything_but_the_controls(
    window: Browser, written: dict[str, Path], name: str
) -> None:
    def told() -> list[Any]:
        counts = "[...document.querySelectorAll('table, tr, td, svg, svg path, img')].length"
        return [
            window.command("Runtime.evaluate", expression=expression, returnByValue=True)["result"]["value"]
            for expression in (counts, "document.querySelectorAll('button, [aria-pressed]').length")
        ]

    window.open(written[name])
    with_, controls = told()
    window.open(written[name], scripts=False)
    without, none = told()
    window.command("Emulation.setScriptExecutionDisabled", value=False)
    assert (with_, none) == (without, 0)
    assert controls > 0
