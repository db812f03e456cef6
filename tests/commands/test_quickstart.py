import json
from pathlib import Path

import pytest

from tests.commands.toys import listing, run
from tests.study.test_quickstart import PLAN, source
from windfirm.commands import quickstart
from windfirm.models.checkpoint import load
from windfirm.models.source import Source
from windfirm.study.quickstart import Plan

Capture = pytest.CaptureFixture[str]


def test_the_quickstart_leaves_networks_page_numbers_and_a_card(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tiny(spec: str) -> Source:
        return source()

    def short() -> Plan:
        return PLAN

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quickstart, "open_model", tiny)
    monkeypatch.setattr(quickstart, "Plan", short)
    said = run(capsys, "quickstart", "--out", "first")
    assert said.splitlines()[-1].startswith("page: first/report.html   networks: first/pruned.safetensors, ")
    names = ["MODEL_CARD.md", "comparison.json", "control.safetensors", "pruned.safetensors", "report.html"]
    assert listing(Path("first")) == names
    card = Path("first/MODEL_CARD.md").read_text(encoding="utf-8")
    assert card.startswith("# `tiny`, pruned\n\n`tiny` lost ")
    assert "- **Images of this run:** `embedded/train`, 16 images, SHA-256" in card
    assert "**Adjusted with:** `name fine-tuning, epochs pruned 1, 1, control 1, 1`" in card
    assert "\n- On these 8 images, compared with F, " in card
    smaller = load("first/pruned.safetensors", lambda: source().model)
    after = next(s for s in json.loads(Path("first/comparison.json").read_text())["subjects"] if s["role"] == "F'")
    assert sum(p.numel() for p in smaller.parameters()) == after["params"]
