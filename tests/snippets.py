"""The code in the documents: Python blocks are run, commands are parsed."""

import re
from pathlib import Path

import torch

from windfirm.cli import parser

ROOT = Path(__file__).parent.parent


def blocks_of(document: str, language: str) -> list[str]:
    """The blocks of a document in one language."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)


def run_python(document: str) -> int:
    """Run the Python blocks of a document in order in one namespace, in the current folder; how many there were."""
    blocks = blocks_of(document, "python")
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, document, "exec"), names)
    return len(blocks)


def commands_of(document: str) -> list[list[str]]:
    """The words of every line of a document that begins with ``windfirm``."""
    text = (ROOT / document).read_text(encoding="utf-8").replace("\\\n", " ")
    return [line.split() for line in re.findall(r"^windfirm (.*?)(?:#.*)?$", text, re.MULTILINE)]


def parse_commands(document: str) -> set[str]:
    """Parse every command of a document; those that occur."""
    return {parser().parse_args(words).command for words in commands_of(document)}
