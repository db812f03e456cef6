"""Cells that come to the same: of one kind, with the same settings, and with inputs that are equal byte for byte.

Where a coin says filters, "both" prunes as "filters" does, and whatever follows would be done twice. It is done once.
"""

import json
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from windfirm.errors import WindfirmError
from windfirm.files import atomic, on_disk
from windfirm.study import place, progress
from windfirm.study.cell import Cell, canonical
from windfirm.study.store import Store
from windfirm.study.work import File

#: The files of every input of a cell, by role: names and SHA-256.
Content = Mapping[str, list[tuple[str, str]]]


@dataclass(frozen=True)
class Twin:
    """Another cell, and whether it is done; else somebody is at work on it."""

    key: str
    done: bool


def twin(store: Store, cell: Cell) -> Twin | None:
    """A cell that comes to the same as ``cell``; one that is done, if there is."""
    with store.reading() as db:
        wanted = _content(db, cell.inputs)
        if not all(wanted.values()):  # somebody has forgotten an input meanwhile
            return None
        alike = (
            "SELECT key, state = 'done', inputs FROM cells WHERE kind = ? AND settings = ? AND key <> ? "
            "AND state IN ('done', 'running') ORDER BY state"
        )
        for key, done, inputs in db.execute(alike, (cell.kind, canonical(cell.settings), cell.key)).fetchall():
            if _content(db, json.loads(inputs)) == wanted:
                return Twin(key, bool(done))
    return None


def adopt(store: Store, cell: Cell, other: Twin, run: str) -> bool:
    """Finish ``cell``, which is leased to ``run``, with the result of its twin, which is done.

    It is from then on of the run that did the twin, as hardware and versions are; it took no time, and its facts name
    the ``twin`` that did. False, and nothing has changed, when there is no such twin any more, or its files are not as
    they were or cannot be copied.
    """
    try:
        with store.reading():
            files = store.files(other.key)
        if store.artifacts:  # which may take long, and others want to write
            for name, file in files.items():
                _copy(store, cell.key, name, file)
        with store.writing() as db:
            unchanged = twin(store, cell) == other and store.files(other.key) == files
            if not unchanged or not _finish(db, cell.key, other.key, run):
                return False
            if not store.artifacts:
                for name, file in files.items():
                    _copy(store, cell.key, name, file)
    except WindfirmError:
        return False
    progress.take_over(store.progress, cell.key, run)  # what an earlier run left of it
    progress.drop(store.progress, cell.key, run)
    return True


def _finish(db: sqlite3.Connection, key: str, other: str, run: str) -> bool:
    """Records and rows, inside a transaction; nothing where the cell is no longer leased to ``run``."""
    changed = db.execute(
        "UPDATE cells SET state = 'done', seconds = NULL, (run, facts) = "
        "(SELECT run, json_insert(facts, '$.twin', key) FROM cells WHERE key = ?) "
        "WHERE key = ? AND run = ? AND state = 'running'",
        (other, key, run),
    ).rowcount
    if not changed:
        return False
    for table, columns in (
        ("artifacts", "name, sha256, bytes"),
        ("outcomes", "number, attack, title, eps, trials, count, total, correct"),
    ):
        db.execute(f"INSERT INTO {table} SELECT ?, {columns} FROM {table} WHERE cell = ?", (key, other))
    return True


def _copy(store: Store, key: str, name: str, file: File) -> None:
    """Put a file of another cell where that of the cell ``key`` is to be."""
    found = file.checked()
    if store.artifacts:
        place.put(found, place.of_file(store.artifacts, key, file.sha256, name))
        return
    with atomic(store.path(key, name)) as part:
        shutil.copyfile(found, part)
    on_disk(store.path(key, name).parent)


def _content(db: sqlite3.Connection, inputs: Mapping[str, str]) -> Content:
    files = "SELECT name, sha256 FROM artifacts WHERE cell = ? ORDER BY name"
    return {role: db.execute(files, (key,)).fetchall() for role, key in inputs.items()}
