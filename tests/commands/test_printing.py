import io

from rich.console import Console

from windfirm.commands.printing import grid


def test_a_name_wider_than_a_narrow_terminal_goes_on_below() -> None:
    table = grid("name", "count", left=("name",))
    table.add_row("layer2.0.conv2#2", "1,234")
    console = Console(width=14, file=io.StringIO())
    console.print(table)
    _, first, *rest = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert first.split() == ["layer2.", "1,234"]
    assert [line.strip() for line in rest] == ["0.conv2", "#2"]
