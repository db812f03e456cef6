"""``windfirm data``: fetch, list and verify data sets."""

from argparse import Namespace
from pathlib import Path

from rich.table import Table

from windfirm import data
from windfirm.commands.shared import print_json, printer
from windfirm.console import say


def run(args: Namespace) -> None:
    """Carry out one action. Raises DataError and InputError as the data room does."""
    {"fetch": _fetch, "list": _list, "verify": _verify}[args.action](args)


def _fetch(args: Namespace) -> None:
    data.fetch(args.name, Path(args.source).expanduser() if args.source else None, report=say)


def _list(args: Namespace) -> None:
    found = data.available()
    if args.json:
        print_json([{**vars(entry), "where": str(entry.where)} for entry in found])
        return
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("name", "images", "state", "where"):
        table.add_column(column, justify="right" if column == "images" else "left")
    for entry in found:
        table.add_row(entry.name, f"{entry.images:,}", entry.state, str(entry.where))
    printer().print(table)


def _verify(args: Namespace) -> None:
    data.verify(args.name)
    printer().print(f"{args.name}: every byte as it should be")
