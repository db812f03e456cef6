"""``windfirm study``: what is in the folder of a run, its rows, and its upkeep. Needs no torch."""

import json
import sys
import time
from argparse import Namespace
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from windfirm import console
from windfirm.commands.printing import grid, print_json, printer
from windfirm.errors import InputError, StoreError, expected
from windfirm.study import listing, rows, upkeep
from windfirm.study.store import Store, opened

#: How the command ends when something is damaged.
DAMAGED = 3

#: So many hex digits of a key are shown.
SHORT = 8

STATES = ("waiting", "running", "done", "failed")


def run(args: Namespace) -> int:
    """Carry out one action. Raises StoreError for a folder without a store that can be used."""
    with opened(args.folder) as store:
        with suppress(StoreError):  # where nothing can be written, cells of runs that were killed are still running
            store.reclaim(here=True)
        actions = {"ls": _ls, "show": _show, "rows": _rows, "gc": _gc, "verify": _verify}
        return actions[args.action](args, store)


def _ls(args: Namespace, store: Store) -> int:
    found = listing.studies(store)
    if args.json:
        print_json([asdict(entry) for entry in found])
        return 0
    table = grid("study", "added", *STATES, "rows", left=("study", "added"))
    for entry in found:
        added = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.added))
        table.add_row(entry.name, added, *(f"{entry.cells.get(state, 0):,}" for state in STATES), f"{entry.rows:,}")
    printer().print(table)
    return 0


def _show(args: Namespace, store: Store) -> int:
    names = [entry.name for entry in listing.studies(store)]
    if args.what is None or args.what in names:
        found = listing.shown(store, study=args.what)
    else:
        found = listing.shown(store, key=args.what)
        if not found:
            known = f"a study ({', '.join(names)}) or the first digits of a cell's key"
            raise InputError(expected("WHAT", known, args.what))
        if len(found) == 1:
            _one(args, store, found[0])
            return 0
    if args.json:
        print_json([asdict(entry) for entry in found])
        return 0
    table = grid("cell", "kind", "state", "seconds", "settings", left=("cell", "kind", "state", "settings"))
    for entry in found:
        spent = "" if entry.seconds is None else f"{entry.seconds:.1f}"
        what = entry.error or _brief(entry.settings)
        table.add_row(entry.key[:SHORT], entry.kind, entry.state, spent, what)
    printer().print(table)
    return 0


def _one(args: Namespace, store: Store, entry: listing.Shown) -> None:
    """All about one cell."""
    files = {name: {"path": file.where, "bytes": file.bytes} for name, file in store.files(entry.key).items()}
    if args.json:
        print_json(asdict(entry) | {"files": files})
        return
    lines = [f"{entry.kind} {entry.key}: {entry.state}"]
    lines += [f"  {name}: {_text(value)}" for name, value in entry.settings.items()]
    lines += [f"  from {role}: {key}" for role, key in entry.inputs.items()]
    lines += [f"  {name} = {_text(value)}" for name, value in entry.facts.items()]
    lines += [f"  {file['path']}: {file['bytes']:,} bytes" for file in files.values()]
    if entry.error:
        lines += [f"  error: {entry.error}", "", entry.trace or ""]
    printer().print("\n".join(lines).rstrip())


def _rows(args: Namespace, store: Store) -> int:
    if args.study is not None:
        listing.settings_of(store, args.study)  # raises when there is none of that name
    if args.json:
        print_json([asdict(entry) for entry in listing.measured(store, args.study)])
    elif args.csv:
        rows.write_csv(listing.measured(store, args.study), sys.stdout)
    else:
        columns = ("study", "point", "role", "seed", "attack", "eps", "right", "of", "accuracy, %")
        table = grid(*columns, left=("study", "point", "role", "attack"))
        for entry in listing.measured(store, args.study):
            row = entry.row
            eps = "" if row["eps"] is None else f"{row['eps'] * 255:.6g}/255"
            right = f"{row['count']:,}", f"{row['total']:,}", f"{100 * row['count'] / row['total']:.2f}"
            point = ", ".join(_valued(axis, value) for axis, value in entry.point.items())
            table.add_row(entry.study, point, entry.role, str(entry.seed), row["attack"], eps, *right)
        printer().print(table)
    return 0


def _gc(args: Namespace, store: Store) -> int:
    found = upkeep.sweep(store, pretend=args.dry_run)
    if args.json:
        print_json(asdict(found) | {"removed": not args.dry_run})
        return 0
    verb = "to be removed" if args.dry_run else "removed"
    printer().print(f"{verb}: {found.cells:,} cells that no study needs, {found.files:,} files, {found.bytes:,} bytes")
    return 0


def _verify(args: Namespace, store: Store) -> int:
    with console.bar("read every file") as tick:
        found = upkeep.verify(store, tick)
    cells = {damage.cell for damage in found if damage.cell is not None}
    if args.mend and cells:
        upkeep.forget(store, cells)
    if args.json:
        print_json({"damages": [asdict(damage) for damage in found], "mended": bool(args.mend and cells)})
    else:
        lines = [damage.words for damage in found] or ["every byte as it should be"]
        if cells:
            count = f"{len(cells)} cell" + ("s" if len(cells) > 1 else "")
            lines.append(
                f"{count} will be done anew by the next run"
                if args.mend
                else f"to have {count} done anew by the next run:  windfirm study verify {args.folder} --mend"
            )
        printer().print("\n".join(lines))
    return DAMAGED if found else 0


def _brief(settings: Any) -> str:
    return ", ".join(f"{name} {_text(value)}" for name, value in settings.items() if value not in (None, {}, []))


def _valued(axis: str, value: Any) -> str:
    """A value on an axis; a number with what it is a number of."""
    return value if isinstance(value, str) else f"{axis.rpartition('.')[2]} {_text(value)}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
