"""``windfirm data``: fetch, list and verify data sets."""

from argparse import Namespace
from pathlib import Path

from windfirm import data
from windfirm.commands.shared import grid, print_json, printer
from windfirm.console import say


def run(args: Namespace) -> None:
    """Carry out one action. Raises DataError and InputError as the data room does."""
    {"fetch": _fetch, "list": _list, "verify": _verify}[args.action](args)


def _fetch(args: Namespace) -> None:
    where = data.fetch(args.name, Path(args.source).expanduser() if args.source else None, report=say)
    if args.json:
        print_json({"name": args.name, "where": str(where)})


def _list(args: Namespace) -> None:
    found = data.available()
    if args.json:
        print_json([{**vars(entry), "where": str(entry.where)} for entry in found])
        return
    table = grid("name", "images", "state", "where", left=("name", "state", "where"))
    for entry in found:
        table.add_row(entry.name, f"{entry.images:,}", entry.state, str(entry.where))
    printer().print(table)


def _verify(args: Namespace) -> None:
    data.verify(args.name)
    if args.json:
        print_json({"name": args.name, "state": "ready"})
        return
    printer().print(f"{args.name}: every byte as it should be")
