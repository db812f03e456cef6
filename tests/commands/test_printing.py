import io

import pytest
from rich.console import Console

from windfirm.commands.printing import grid, printer


def test_a_name_wider_than_a_narrow_terminal_goes_on_below() -> None:
    table = grid("name", "count", left=("name",))
    table.add_row("layer2.0.conv2#2", "1,234")
    console = Console(width=14, file=io.StringIO())
    console.print(table)
    _, first, *rest = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert first.split() == ["layer2.", "1,234"]
    assert [line.strip() for line in rest] == ["0.conv2", "#2"]


def test_a_name_with_colons_is_no_picture(capsys: pytest.CaptureFixture[str]) -> None:
    printer().print("nets:two: 3 M MACs")
    assert capsys.readouterr().out == "nets:two: 3 M MACs\n"
