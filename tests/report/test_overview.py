from dataclasses import replace

from tests.report.studied import ABOUT, THREE, four, rows
from windfirm.report.overview import HEAD, overview
from windfirm.report.study import page
from windfirm.report.summary import Summary, summaries
from windfirm.report.written import written

PLS, L1 = {"prune.criterion": "pls"}, {"prune.criterion": "l1"}


def two() -> list[Summary]:
    """A table of the poster's at two points with a control, and a study of the user's own without."""
    more = {"F": four(40, 50, 20, 90), "control": four(40, 50, 20, 90), "F'": four(80, 49, 20, 95)}
    mine = {"F": {"clean": 90}, "F'": {"clean": 90}}
    return summaries(
        [
            *rows("table3", PLS, THREE, seeds=(0, 1)),
            *rows("table3", L1, more, seeds=(0, 1)),
            *rows("mine", {"prune.ratio": 0.5}, mine, total=200),
        ]
    )


def test_each_study_has_a_line_that_can_be_counted_by_hand() -> None:
    """Beyond chance: 40 points under semantic changes, over both, and ten under FGSM, over F alone.

    With the poster's sign: four of l1's, all but FGSM; three of PLS's, semantic, FGSM and average.
    """
    table, mine = (dict(zip(HEAD, line, strict=True)) for line in overview(two()))
    assert table == {
        "study": "table3: Influence of the pruning criterion",
        "more / less robust than the control": "1 / 0 of 6",
        "more / less robust than F": "2 / 0 of 6",
        "clean, F′ − F": "−1.00 to +5.00",
        "poster’s signs": "7 of 10",
        "seeds": "2",
        "images": "100",
    }
    assert mine == dict.fromkeys(HEAD, "") | {
        "study": "mine", "clean, F′ − F": "0.00", "seeds": "1", "images": "200"
    }  # fmt: skip


def test_one_study_speaks_for_itself() -> None:
    assert overview(two()[:1]) == []


def test_page_and_text_begin_with_it_and_tell_scales_apart() -> None:
    made = rows("table3", PLS, THREE)
    scales = summaries([replace(row, about=ABOUT | {"scale": scale}) for scale in ("laptop", "gpu") for row in made])
    names = [line[0] for line in overview(scales)]
    assert names == [f"table3-{scale}: Influence of the pruning criterion" for scale in ("laptop", "gpu")]
    text = written(scales, title="Mine", provenance={})["report.md"]
    assert 0 < text.index(f"| {names[1]} |") < text.index("## ")
    assert f'<a href="#study-2">{names[1]}</a>' in page(scales, title="Mine")
