"""Looking after a store: is every byte as it was written, and what is of no more use?"""

import shutil
import sqlite3
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from windfirm.errors import StoreError
from windfirm.study import progress as states
from windfirm.study.store import Store

#: A cell and all that it left, in the order in which they can go.
TABLES = ("outcomes", "artifacts", "places")

USELESS = "SELECT key FROM cells WHERE state <> 'running' AND key NOT IN (SELECT cell FROM members)"


@dataclass(frozen=True)
class Damage:
    """What is wrong, in words, and the cell that it concerns; None for the database itself."""

    cell: str | None
    words: str


@dataclass(frozen=True)
class Swept:
    """What of no use was found: cells that no study needs, files that no cell has, and the bytes of all files."""

    cells: int
    files: int
    bytes: int


def verify(store: Store, progress: Callable[[int, int], None] = lambda done, total: None) -> list[Damage]:
    """Read everything again: the database, every file, every row's counts. Changes nothing."""
    with store.reading() as db:
        found = [Damage(None, line) for (line,) in db.execute("PRAGMA integrity_check(20)") if line != "ok"]
        files = db.execute("SELECT cell, name FROM artifacts ORDER BY cell, name").fetchall()
        rows = db.execute("SELECT cell, number, count, correct FROM outcomes")
        found += [Damage(cell, f"row {number} of cell {cell}: {why}") for cell, number, why in _wrong(rows)]
    for done, (cell, name) in enumerate(files, 1):
        try:
            store.files(cell)[name].checked()
        except StoreError as error:
            found.append(Damage(cell, str(error)))
        progress(done, len(files))
    return found


def forget(store: Store, cells: set[str]) -> None:
    """Let cells be done anew by the next run: their rows and files go, what was made from them stays."""
    with store.writing() as db:
        for cell in cells:
            for table in TABLES[:2]:
                db.execute(f"DELETE FROM {table} WHERE cell = ?", (cell,))
            db.execute("UPDATE cells SET state = 'waiting', run = NULL, facts = NULL WHERE key = ?", (cell,))


def sweep(store: Store, *, pretend: bool = False) -> Swept:
    """Remove cells that no study needs, with their rows and files, files of no cell, and what dead runs left.

    With ``pretend`` only tell. No other run can put a file in place meanwhile.
    """
    store.reclaim()
    with store.writing() as db:
        cells = [key for (key,) in db.execute(USELESS)]
        files, _ = _unowned(store, db, f"SELECT key FROM cells WHERE key NOT IN ({USELESS})")
        found = Swept(len(cells), len(files), sum(path.stat().st_size for path in files))
        if not pretend:
            for cell in cells:
                for table in TABLES:
                    db.execute(f"DELETE FROM {table} WHERE cell = ?", (cell,))
                db.execute("DELETE FROM cells WHERE key = ?", (cell,))
    if not pretend:
        # Files go after their records, so that none is missed when this is killed; and while nobody else can write.
        with store.writing() as db:
            files, folders = _unowned(store, db, "SELECT key FROM cells")
            for path in files:
                path.unlink(missing_ok=True)
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
    return found


def _unowned(store: Store, db: sqlite3.Connection, cells: str) -> tuple[list[Path], list[Path]]:
    """The files that no cell of the query ``cells`` has or can go on from, and the folders of runs that are over."""
    kept = {
        store.path(cell, name) for cell, name in db.execute(f"SELECT cell, name FROM artifacts WHERE cell IN ({cells})")
    }
    ahead = {key for (key,) in db.execute(f"SELECT key FROM cells WHERE state <> 'done' AND key IN ({cells})")}
    alive = {run for (run,) in db.execute("SELECT id FROM runs WHERE ended IS NULL")}
    files = [path for path in (store.folder / "artifacts").glob("*/*") if path not in kept]
    files += states.useless(store.progress, ahead, alive)
    folders = [path for path in (store.folder / "incoming").glob("*") if path.name not in alive]
    return files + [path for folder in folders for path in folder.rglob("*") if path.is_file()], folders


def _wrong(rows: Iterator[tuple[str, int, int, bytes]]) -> Iterator[tuple[str, int, str]]:
    """The rows whose counts per image cannot be read or do not add up to their count."""
    for cell, number, count, correct in rows:
        try:
            data = zlib.decompress(correct)
            counts = struct.unpack(f"<{len(data) // 2}H", data)
        except (zlib.error, struct.error) as error:
            yield cell, number, f"expected packed counts per image, got damage ({error})"
            continue
        if sum(counts) != count:
            yield cell, number, f"expected {count} right predictions, got {sum(counts)}"
