"""Cards are read back by a parser of Markdown that is not ours."""

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.report.test_pruning import RECORD
from windfirm.report.card import card, code, flat, plain

EVIL = "a|b*c*<script>alert(1)</script>`d``\n# e\n```\n[f](http://g)"
SECTIONS = [
    "Details",
    "Intended use",
    "Data",
    "What was changed",
    "Evaluation",
    "Limits",
    "How to load",
]
FULL = {
    **RECORD,
    "arch": None,
    "factory": "my.nets:build",
    "adjustment": {"name": "fine-tuning", "epochs": {"pruned": [2, 2], "control": []}},
    "target": {"latency": 0.5, "protect": ["conv1"]},
    "digest": "0123456789abcdef",
    "skipped": 3,
    "input": [3, 32, 32],
    "normalisation": {"mean": [0.5], "std": [0.25]},
}


def parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def inner(text: str) -> list[Token]:
    """All that stands inside lines."""
    return [token for block in parsed(text) for token in block.children or ()]


def headings(text: str) -> list[str]:
    tokens = parsed(text)
    return [tokens[i + 1].content for i, token in enumerate(tokens) if token.type == "heading_open"]


def test_a_card_has_the_customary_sections_and_says_what_was_cut() -> None:
    text = card(FULL)
    assert headings(text) == ["`resnet8`, pruned", *SECTIONS]
    assert "`resnet8` lost 12 filters and 1 block in 2 rounds, chosen by `pls`. " in text
    assert "Every cut was proved: " in text
    assert "| multiply-adds | 1.000 M | 500.0 k | −50.0 % |" in text.replace("\N{NO-BREAK SPACE}", " ")
    assert "- **Images of this run:** `cifar10/train`, 50,000 images, SHA-256 of pixels and labels begins with " in text
    assert "`0123456789abcdef`, 3 files left out as unreadable\n" in text
    assert "- `layer2.0.conv1`: expected a cut that can be proved, got another network\n" in text
    assert "- `head`: the criterion has no score for it\n" in text
    assert "- `conv1`: protected, as asked" in text
    assert "Time was measured on the hardware above" in text
    assert "looked at by `aten.native_layer_norm.default in norm`; proved" in text
    assert "No control was trained" in text


def test_code_that_loads_and_measures_stands_in_blocks_of_its_own() -> None:
    blocks = [
        token
        for token in parsed(card(FULL, compare="windfirm compare resnet8 out --data cifar10"))
        if token.type == "fence"
    ]
    assert [(block.info, block.content) for block in blocks] == [
        ("sh", "windfirm compare resnet8 out --data cifar10\n"),
        ("python", 'import windfirm as wf\n\nnetwork = wf.load("model.safetensors", "my.nets:build")\n'),
        (
            "sh",
            "windfirm inspect model.safetensors --factory my.nets:build\n"
            "windfirm export model.safetensors --factory my.nets:build --format pt2 --out model.pt2\n",
        ),
    ]
    named = card({**FULL, "arch": "resnet20", "factory": None, "normalisation": None}, file="pruned.safetensors")
    assert 'wf.load("pruned.safetensors")\n' in named
    assert "It takes batches of `n×3×32×32` with values in [0, 1], without more ado:" in named


def test_what_was_measured_takes_the_place_of_how_to() -> None:
    text = card(FULL, found=["F′ is *less* accurate.", "1. No doubt"])
    assert "## Evaluation\n\n- F′ is \\*less\\* accurate.\n- 1\\. No doubt\n" in text
    assert "not measured" not in text
    assert "Accuracy and robustness were not measured by this run." in card(FULL)


def test_a_card_without_training_or_images_says_so() -> None:
    text = card({"model": "x", "adjust": None, "images": 0, "rounds": [{"macs_before": 2, "macs_after": 1}]})
    assert "No image was looked at: the criterion reads weights alone, and nothing was trained." in text
    assert "- Nothing was trained after the cut.\n" in text
    assert "No control" not in text


def test_what_the_record_lacks_is_left_out() -> None:
    text = card({})
    assert headings(text) == ["`network`, pruned", *(title for title in SECTIONS if title != "What was changed")]
    assert "None" not in text
    for key in FULL:
        assert headings(card({name: value for name, value in FULL.items() if name != key}))[1:] == SECTIONS


@settings(deadline=None)
@given(st.text() | st.sampled_from([EVIL, "`", "``", " ` ", "\\", "1. x", "- x", "> x", "www.a.b", "a_b_", "&lt;"]))
def test_names_and_words_mean_nothing_but_themselves(text: str) -> None:
    wanted = flat(text)
    if wanted:
        assert [(token.type, token.content) for token in inner(f"x {code(text)}")][1:] == [("code_inline", wanted)]
        (paragraph,) = [token for token in parsed(plain(text)) if token.type == "inline"]
        assert {token.type for token in paragraph.children or ()} <= {"text", "text_special"}
        assert "".join(token.content for token in paragraph.children or ()) == wanted


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(EVIL),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text() | st.sampled_from([*RECORD]), inside),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(FULL, VALUES)), st.lists(st.text(), max_size=2))
def test_no_record_whatever_it_holds_adds_markup(record: dict[str, object], found: list[str]) -> None:
    text = card(record, found=found)
    assert [title for title in headings(text) if title in SECTIONS] == headings(text)[1:]
    kinds = {token.type for token in inner(text)}
    assert kinds <= {"text", "text_special", "code_inline", "strong_open", "strong_close", "softbreak"}
    assert not any(token.type == "html_block" for token in parsed(text))
    assert all(token.content not in EVIL for token in parsed(text) if token.type == "strong_open")


def test_names_that_look_like_markup_are_shown_as_they_are() -> None:
    evil = {**FULL, "model": EVIL, "criterion": EVIL, "factory": EVIL, "data": EVIL, "hardware": EVIL}
    evil["rounds"] = [{"refused": {EVIL: EVIL}, "unscored": [EVIL], "changes-normalisation": [EVIL]}]
    text = card(evil, compare=EVIL)
    assert headings(text) == [f"{code(EVIL)}, pruned", *SECTIONS]
    assert [token.content for token in inner(text) if token.type == "code_inline"].count(flat(EVIL)) >= 8
    assert {token.type for token in inner(text)} == {"text", "code_inline", "strong_open", "strong_close"}
    fences = [token.content for token in parsed(text) if token.type == "fence"]
    assert fences[0] == f"{flat(EVIL)}\n"
    assert len(fences) == 3
