import re
from pathlib import Path

import pytest

from tests.snippets import ROOT, parse_commands, run_python
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


def read(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")
