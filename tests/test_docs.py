import re
import sys
from pathlib import Path

import pytest
from benchmarks import make_api

from tests.snippets import ROOT, blocks_of, commands_of, parse_commands, run_python
from windfirm.adjust.adjustments import ADJUSTMENTS
from windfirm.cli import main
from windfirm.defend.registry import DEFENCES
from windfirm.prune.criteria import CRITERIA
from windfirm.study.settings import SETTINGS

DOCUMENTS = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_python_of_a_document_runs(document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_python(document) > 0


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_of_a_document_parses(document: str) -> None:
    assert parse_commands(document)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, whose modules are found and forgotten."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    for name in ("lab", "mine"):
        monkeypatch.setitem(sys.modules, name, sys)  # so that the end of the test takes away what it imports
        del sys.modules[name]
    return tmp_path


def test_the_researchers_study_runs_and_is_read(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = "docs/researcher.md"
    (here / "lab.py").write_text(blocks_of(document, "python")[0], encoding="utf-8")
    (here / "lab.toml").write_text(blocks_of(document, "toml")[0], encoding="utf-8")
    assert main(["run", "lab.toml", "--scale", "smoke", "--workers", "0", "--out", "runs/lab-laptop"]) == 0
    capsys.readouterr()
    run_python(document)
    lines = capsys.readouterr().out.splitlines()
    attacks = [
        (criterion, attack) for criterion in ("lab:largest", "random") for attack in ("clean", "exposure", "fgsm")
    ]
    assert [tuple(line.split()[:2]) for line in lines[:6]] == attacks
    assert lines[6].startswith("largest - random, fgsm: ")
    assert lines[7].startswith(("Clean accuracy", "F′ is "))


def test_the_commands_that_name_what_is_ones_own_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = "docs/extend.md"
    (here / "mine.py").write_text("".join(blocks_of(document, "python")[:-1]), encoding="utf-8")
    for words in commands_of(document):
        assert main(words) == 0
    out = capsys.readouterr().out
    assert "dim" in out
    assert "asked for: 70.0% of the MACs left" in out


def test_the_reference_is_that_of_the_docstrings() -> None:
    assert make_api.page() == make_api.PAGE.read_text(encoding="utf-8"), "run: python -m benchmarks.make_api"


def test_every_link_between_documents_leads_somewhere() -> None:
    for document in ["README.md", *DOCUMENTS]:
        folder = (ROOT / document).parent
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", read(document)):
            assert (folder / target).exists(), f"{document}: {target}"


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


def test_every_setting_of_a_study_is_listed_with_its_default() -> None:
    text = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z]+)` \| (`.*) \|$", text, re.MULTILINE))
    listed = {f"{table}.{name}" for table, row in rows.items() for name in re.findall(r"`([a-z-]+)`", row)}
    assert listed == SETTINGS.keys() - {"control"}
    for dotted, setting in SETTINGS.items():
        table, _, name = dotted.partition(".")
        if name.endswith("eps"):
            assert f"`{name}` (8/255)" in rows[table]
        elif name and setting.default not in (None, []):
            told = str(setting.default).lower()
            assert f"`{name}` ({told}" in rows[table], dotted
