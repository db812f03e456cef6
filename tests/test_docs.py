import re
from pathlib import Path

import pytest

from tests.snippets import ROOT, parse_commands, run_python
from windfirm.adjust.adjustments import ADJUSTMENTS
from windfirm.defend.registry import DEFENCES
from windfirm.prune.criteria import CRITERIA

DOCUMENTS = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_python_of_a_document_runs(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_python(document) > 0


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of_a_document_parses(document: str) -> None:
    assert parse_commands(document)


def test_the_table_of_criteria_is_complete() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|.*?\| (weights|images|nothing) \|", read("docs/criteria.md"), re.MULTILINE)
    assert dict(rows) == {
        name: "nothing" if name == "random" else "images" if entry.data else "weights"
        for name, entry in CRITERIA.items()
    }


def test_the_table_of_defences_is_complete() -> None:
    table = read("docs/defences.md").partition("```")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE) == list(DEFENCES)


def test_the_table_of_adjustments_is_complete() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|.*\| (every|the last) round \|", read("docs/adjustments.md"), re.MULTILINE)
    assert dict(rows) == {name: "the last" if entry.last_only else "every" for name, entry in ADJUSTMENTS.items()}


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")
