from pathlib import Path

import pytest

from tests.snippets import parse_commands, run_python


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_python("README.md") == 2
    assert (tmp_path / "small.safetensors").is_file()


def test_every_command_of_the_readme_parses() -> None:
    assert parse_commands("README.md") == {
        "data",
        "train",
        "inspect",
        "prune",
        "attack",
        "compare",
        "export",
        "run",
        "report",
        "reproduce",
    }
