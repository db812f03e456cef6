"""Cells that come to the same: of one kind, with the same settings, and with inputs that are equal byte for byte.

Where a coin says filters, "both" prunes as "filters" does, and whatever follows would be done twice. It is done once.
"""

import json
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from windfirm.errors import WindfirmError
from windfirm.files import atomic, on_disk
from windfirm.study import place
from windfirm.study.cell import Cell, canonical
from windfirm.study.store import Store


@dataclass(frozen=True)
class Twin:
    """Another cell, and whether it is done; else somebody is at work on it."""

    key: str
    done: bool


def twin(store: Store, cell: Cell) -> Twin | None:
    """A cell that comes to the same as ``cell``, whose inputs are done; one that is done, if there is."""
    with store.reading() as db:
        wanted = _content(db, cell.inputs)
        alike = (
            "SELECT key, state = 'done', inputs FROM cells WHERE kind = ? AND settings = ? AND key <> ? "
            "AND state IN ('done', 'running') ORDER BY state"
        )
        for key, done, inputs in db.execute(alike, (cell.kind, canonical(cell.settings), cell.key)).fetchall():
            if _content(db, json.loads(inputs)) == wanted:
                return Twin(key, bool(done))
    return None


def adopt(store: Store, key: str, other: str, run: str) -> bool:
    """Finish the cell ``key``, which is leased to ``run``, with the result of ``other``, which is done.

    It is from then on of the run that did ``other``, as hardware and versions are; it took no time, and its facts name
    its ``twin``. False, and nothing has changed, when the files of ``other`` are not as they were or cannot be copied.
    """
    try:
        with store.writing() as db:
            changed = db.execute(
                "UPDATE cells SET state = 'done', seconds = NULL, (run, facts) = "
                "(SELECT run, json_set(facts, '$.twin', key) FROM cells WHERE key = ?) "
                "WHERE key = ? AND run = ? AND state = 'running'",
                (other, key, run),
            ).rowcount
            if changed:
                _copy(store, db, key, other)
        return bool(changed)
    except WindfirmError:
        return False


def _copy(store: Store, db: sqlite3.Connection, key: str, other: str) -> None:
    """Rows and files, inside a transaction."""
    for name, file in store.files(other).items():
        _put(file.checked(), store, key, name, file.sha256)
        db.execute("INSERT INTO artifacts VALUES (?, ?, ?, ?)", (key, name, file.sha256, file.bytes))
    db.execute(
        "INSERT INTO outcomes SELECT ?, number, attack, title, eps, trials, count, total, correct "
        "FROM outcomes WHERE cell = ?",
        (key, other),
    )


def _put(file: Path, store: Store, key: str, name: str, sha256: str) -> None:
    url = store.artifacts
    if url is not None:
        place.put(file, place.within(url, place.name_of(key, sha256, name)))
        return
    with atomic(store.path(key, name)) as part:
        shutil.copyfile(file, part)
    on_disk(store.path(key, name).parent)


def _content(db: sqlite3.Connection, inputs: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """The files of every input, by role: names and SHA-256."""
    files = "SELECT name, sha256 FROM artifacts WHERE cell = ? ORDER BY name"
    return {role: db.execute(files, (key,)).fetchall() for role, key in inputs.items()}
