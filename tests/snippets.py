"""The code in the documents: Python blocks are run, commands are parsed."""

import re
from pathlib import Path

import torch

from windfirm.cli import parser

ROOT = Path(__file__).parent.parent


def run_python(document: str) -> int:
    """Run the Python blocks of a document in order in one namespace, in the current folder; how many there were."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, document, "exec"), names)
    return len(blocks)


def parse_commands(document: str) -> set[str]:
    """Parse every line of a document that begins with ``windfirm``; the commands that occur."""
    text = (ROOT / document).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^windfirm (.*?)(?:#.*)?$", text, re.MULTILINE)
    return {parser().parse_args(line.split()).command for line in lines}
