"""Printing: a document for programs, tables and lines for people. Needs no torch."""

import json
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

#: Standard output, while all but the document goes elsewhere.
_OUT: ContextVar[TextIO] = ContextVar("out")


@contextmanager
def document_alone() -> Iterator[None]:
    """Inside the block print_json alone writes on stdout; what else is printed, as by the user's module, on stderr."""
    before = _OUT.set(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _OUT.reset(before)


def print_json(document: object) -> None:
    """One JSON document on stdout. Numbers that are not finite are refused, as JSON has none."""
    _OUT.get(sys.stdout).write(json.dumps(document, indent=1, allow_nan=False) + "\n")


def printer() -> Console:
    """Standard output; no colours when it is not a terminal, and lines as long as they are."""
    plain: Any = {"highlight": False, "markup": False, "emoji": False, "soft_wrap": True}
    console = Console(**plain)
    return console if console.is_terminal else Console(**plain, no_color=True, width=1000)


def grid(*columns: str, left: Collection[str]) -> Table:
    """An empty table without lines; numbers stand on the right, the columns in ``left`` on the left.

    What is wider than a narrow terminal has room for goes on below, as half a name is none.
    """
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="left" if name in left else "right", overflow="fold")
    return table
