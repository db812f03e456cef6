import re
from itertools import pairwise

import pytest
from hypothesis import given, settings

from tests.report.markup import EVIL as STRANGE
from tests.report.markup import read, structure
from windfirm.report import profile
from windfirm.report.figure import Layer
from windfirm.report.pruning import page, sentences

SPACE = "\N{NO-BREAK SPACE}"
EVIL = "<script>alert(1)</script>"

LAYERS = [
    {"layer": "conv1", "kind": "convolution", "before": 16, "after": 16},
    {"layer": "layer1.0.conv1", "kind": "convolution", "before": 16, "after": 4},
    {"layer": "layer1.1.conv1", "kind": "convolution", "before": 32, "after": 0},
    {"layer": "fc", "kind": "linear", "before": 10, "after": 10},
]
RECORD: dict[str, object] = {
    "model": "resnet8",
    "criterion": "pls",
    "structure": "both",
    "target": {"ratio": None, "macs": 0.5, "ranking": "global", "floor": 0.1, "protect": ["conv1"], "plain": False},
    "adjust": "fine-tuning",
    "before": {"macs": 1_000_000, "params": 2_000, "param_bytes": 8_000, "peak_bytes": 400},
    "after": {"macs": 500_000, "params": 1_500, "param_bytes": 6_000, "peak_bytes": 300},
    "rounds": [
        {
            "number": 1,
            "kind": "filters",
            "macs_before": 1_000_000,
            "macs_after": 800_000,
            "removed": {"layer1.0.conv1": 12, "untouched": 0},
            "sizes": {"layer1.0.conv1": 16},
            "choose": "cka",
            "distances": {"filters": 0.01234, "layers": 0.5},
            "latency": 0.876,
            "blocks": [],
            "stability": {"agree": 8, "of": 12},
            "refused": {"layer2.0.conv1": "layer2.0.conv1: expected a cut that can be proved, got another network"},
            "unscored": ["head"],
            "changes-normalisation": ["aten.native_layer_norm.default in norm"],
        },
        {
            "number": 2,
            "kind": "layers",
            "macs_before": 800_000,
            "macs_after": 500_000,
            "removed": {},
            "blocks": ["layer1.1"],
            "stability": {"agree": 1, "of": 1},
            "choose": "cka",
            "stopped": {"filters": "prune: expected filters, got none"},
        },
    ],
    "profile": LAYERS,
    "data": "cifar10/train",
    "images": 50_000,
    "seed": 0,
    "hardware": "a processor, 2 threads",
    "versions": "windfirm 1",
}


def test_the_first_sentence_says_what_left_and_what_is_left() -> None:
    first, halves, proved = sentences(RECORD)
    assert first.replace(SPACE, " ") == (
        "resnet8 lost 12 filters and 1 block in 2 rounds, chosen by pls. Left are 50.0 % of the multiply-adds "
        "(500.0 k of 1.000 M), 75.0 % of the parameters (1.500 k of 2.000 k) and 75.0 % of the activations’ memory "
        "(300 B of 400 B)."
    )
    assert halves == "Two halves of the images, each asked alone, agree on 9 of 13 choices."
    assert proved.startswith("Every cut was proved")


def test_everything_is_on_the_page_in_order() -> None:
    text = read(page(RECORD)).text
    parts = ["resnet8 lost", "Cost", "What is left of each layer", "Rounds", "What stayed whole", "How to do it again"]
    assert [a for a, b in pairwise(parts) if text.index(a) > text.index(b)] == []
    said = (
        *("12 filters of 1 group", "layer1.0.conv1 12 of 16", "8 of 12", "1 block", "layer1.1", "−20.0 %", "−37.5 %"),
        *(
            "filters, by the rule cka; distances: filters 0.0123, layers 0.5",
            "layers, by the rule cka",
            "no filters: prune: expected",
        ),
        *("87.6 % of the first", "layer2.0.conv1: expected a cut that can be proved", "conv1: protected"),
        *("head: the criterion has no score", "native_layer_norm", "cifar10/train", "50,000", "a processor"),
        *("windfirm 1", "macs 0.5, ranking global, floor 0.1, protect conv1"),
    )
    assert [part for part in said if part not in text] == []
    assert "untouched" not in text


def test_it_opens_offline_and_runs_nothing_but_its_own_script() -> None:
    html = page(RECORD)
    assert not re.search(r"https?:|//|@import|url\(|src=|href=", html)
    tags = read(html).tags
    assert tags.count("script") == 1
    assert not {"link", "iframe", "img"} & set(tags)


def test_the_numbers_of_the_figure_stand_in_a_table_too() -> None:
    html = page(RECORD)
    cell = r"<td data-value=\"[\d.]+\">"
    row = rf'<tr><th scope="row">(.*?)</th><td>(.*?)</td>{cell}(\d+)</td>{cell}(\d+)</td>{cell}(.*?)</td>'
    rows = re.findall(row, html)
    assert [(name, kind, int(before), int(after)) for name, kind, before, after, _ in rows] == [
        tuple(entry.values()) for entry in LAYERS
    ]
    assert [kept.replace(SPACE, " ") for *_, kept in rows] == ["100.0 %", "25.0 %", "left with its block", "100.0 %"]


@pytest.mark.parametrize("missing", sorted(RECORD))
def test_a_missing_key_breaks_nothing(missing: str) -> None:
    text = read(page({key: value for key, value in RECORD.items() if key != missing})).text
    assert "How to do it again" in text
    assert not re.search(r"\bnan\b|None", text)


def test_groups_stand_in_the_order_of_their_layers() -> None:
    entry = {"removed": {"fc": 1, "elsewhere": 3, "conv1": 2}, "sizes": {"fc": 10, "conv1": 16}}
    assert "conv1 2 of 16, fc 1 of 10, elsewhere 3" in read(page({**RECORD, "rounds": [entry]})).text


def test_an_older_record_and_none_at_all() -> None:
    old = {"model": "vgg", "rounds": [{"round": 1, "macs_before": 10, "macs_after": 5, "left": {"a": 2}}]}
    assert sentences(old)[0] == "vgg lost 2 filters in 1 round."
    assert "two halves" not in read(page(old)).text.lower()
    assert sentences({}) == ["The network was pruned."]
    assert "<svg" not in page({})


def test_values_of_another_form_are_left_out() -> None:
    strange = dict.fromkeys(RECORD, "strange") | {"rounds": [1, {"removed": [3], "stability": 5}], "profile": [{}, 1]}
    assert "nothing" in read(page(strange)).text


def test_names_from_outside_are_inert() -> None:
    layers = [{"layer": EVIL, "kind": EVIL, "before": 4, "after": 2}]
    html = page({**RECORD, "model": EVIL, "profile": layers, "data": EVIL})
    assert html.count("<script") == 1
    assert EVIL in read(html).text


@settings(deadline=None, max_examples=15)
@given(STRANGE)
def test_no_name_can_inject_markup(evil: str) -> None:
    def named(name: str) -> str:
        layers = [{"layer": name, "kind": name, "before": 4, "after": 2}]
        return page({**RECORD, "model": name, "profile": layers, "data": name, "command": name})

    assert structure(named(f"x{evil}x")) == structure(named("harmless"))


def test_bars_by_hand() -> None:
    svg = profile.skyline([Layer("a", 16, 4), Layer("b", 32, 32), Layer("c", 16, 0)])
    # Three layers, 26 wide from 40; the widest is 220 high above 232: 16 filters are 110 and 4 are 27.5 high.
    assert 'd="M40,232V122.0H66.0V12.0H92.0V122.0H118.0V232"' in svg
    assert '<rect class="after" x="41.5" y="204.5" width="23.0" height="27.5"/>' in svg
    assert svg.count('class="after"') == 2
    assert [float(x) for x in re.findall(r'text-anchor="end">(\d+)<', svg)] == [0, 8, 16, 24, 32]
    titles = re.findall("<title>(.*?)</title>", svg)
    assert titles == [
        "a: 4 of 16 filters kept (25%)",
        "b: 32 of 32 filters kept (100%)",
        "c: left with its block, 16 filters",
    ]


def test_hatching_stays_inside_what_left_and_joins_its_neighbour() -> None:
    svg = profile.skyline([Layer("a", 16, 0), Layer("b", 16, 0)])
    paths = re.findall(r'class="hatch" d="(.*?)"', svg)
    ends = [[(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)] for path in paths]
    for points, left in zip(ends, (40, 66), strict=True):
        assert all(left <= x <= left + 26 and 12 <= y <= 232 for x, y in points)
        assert all((x + y) % profile.HATCH == pytest.approx(0, abs=0.2) for x, y in points)


@pytest.mark.parametrize(("count", "width", "labels"), [(57, 904, 57), (200, 904, 50), (400, 1644, 100)])
def test_many_layers_stay_readable(count: int, width: int, labels: int) -> None:
    svg = profile.skyline([Layer(f"layer{i}", 64, 32) for i in range(count)])
    assert f'width="{width}"' in svg.splitlines()[0]
    assert svg.count("rotate(-90") == labels
    assert svg.count("<title>") == count
