import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parent.parent


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
    assert (tmp_path / "small.safetensors").is_file()
    assert len(blocks) == 2


def test_every_command_of_the_readme_parses(capsys: pytest.CaptureFixture[str]) -> None:
    from windfirm.cli import parser

    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^windfirm (.*?)(?:#.*)?$", text, re.MULTILINE)
    commands = {parser().parse_args(line.split()).command for line in lines}
    assert commands == {"data", "train", "inspect", "prune", "attack", "compare", "export"}
