"""Looking after a store: is every byte as it was written, and what is of no more use?"""

import shutil
import sqlite3
import struct
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from windfirm.errors import StoreError, UnreachableError
from windfirm.study import place
from windfirm.study import progress as states
from windfirm.study.store import Store
from windfirm.study.work import File

#: A cell and all that it left, in the order in which they can go.
TABLES = ("outcomes", "artifacts", "places")

USELESS = "SELECT key FROM cells WHERE state <> 'running' AND key NOT IN (SELECT cell FROM members)"
#: Of those, the ones that have nothing but files that nobody knows.
BARE = f"{USELESS} AND state = 'waiting'"


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
    """Read everything again: the database, every file, every row's counts. Changes nothing.

    Raises UnreachableError when files are kept at a URL that does not answer, as that is no damage.
    """
    with store.reading() as db:
        found = [Damage(None, line) for (line,) in db.execute("PRAGMA integrity_check(20)") if line != "ok"]
        files = db.execute("SELECT cell, name FROM artifacts ORDER BY cell, name").fetchall()
        rows = db.execute("SELECT cell, number, count, correct FROM outcomes")
        found += [Damage(cell, f"row {number} of cell {cell}: {why}") for cell, number, why in _wrong(rows)]
    for done, (cell, name) in enumerate(files, 1):
        try:
            _read(store.files(cell)[name])
        except UnreachableError:
            raise
        except StoreError as error:
            found.append(Damage(cell, str(error)))
        progress(done, len(files))
    return found


def forget(store: Store, cells: set[str]) -> None:
    """Let cells be done anew by the next run: their rows and files go, what was made from them stays."""
    with store.writing() as db:
        for cell in cells:
            _forget(db, cell, TABLES[:2])


def sweep(store: Store, *, pretend: bool = False) -> Swept:
    """Remove cells that no study needs, with their rows and files, files of no cell, and what dead runs left.

    With ``pretend`` only tell. No other run can put a file in place meanwhile. At a URL nothing goes but files of cells
    that this store knows.
    """
    store.reclaim()
    url = store.artifacts
    there = place.names(url) if url else {}
    with store.writing() as db:
        cells = [key for (key,) in db.execute(USELESS)]
        kept = f"SELECT key FROM cells WHERE key NOT IN ({USELESS})"
        files, _ = _unowned(store, db, kept)
        sizes = [path.stat().st_size for path in files] + [there[name] for name in _unowned_at(db, there, kept)]
        found = Swept(len(cells), len(sizes), sum(sizes))
        if not pretend:
            for cell in cells:
                _forget(db, cell, TABLES)
    if not pretend:
        # Files go after their records, and cells after their files, so that none is missed when this is killed; and
        # while nobody else can write.
        with store.writing() as db:
            kept = f"SELECT key FROM cells WHERE key NOT IN ({BARE})"
            if url:
                place.remove(url, _unowned_at(db, there, kept))
            files, folders = _unowned(store, db, kept)
            for path in files:
                path.unlink(missing_ok=True)
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
            db.execute(f"DELETE FROM cells WHERE key IN ({BARE})")
    return found


def _read(file: File) -> None:
    """Raise StoreError unless a file is there byte for byte; where it is kept, whatever copy there is."""
    with tempfile.TemporaryDirectory() as empty:
        replace(file, path=Path(empty) / "copy" if file.url else file.path).checked()


def _forget(db: sqlite3.Connection, cell: str, tables: tuple[str, ...]) -> None:
    """Let a cell wait, as if it had not been done."""
    for table in tables:
        db.execute(f"DELETE FROM {table} WHERE cell = ?", (cell,))
    db.execute("UPDATE cells SET state = 'waiting', run = NULL, facts = NULL WHERE key = ?", (cell,))


def _unowned(store: Store, db: sqlite3.Connection, cells: str) -> tuple[list[Path], list[Path]]:
    """The files that no cell of the query ``cells`` has or can go on from, and the folders of runs that are over."""
    owned = db.execute(f"SELECT cell, name, sha256 FROM artifacts WHERE cell IN ({cells})").fetchall()
    kept = {store.path(cell, name) for cell, name, _ in owned} | {store.cache / sha256 for _, _, sha256 in owned}
    ahead = {key for (key,) in db.execute(f"SELECT key FROM cells WHERE state <> 'done' AND key IN ({cells})")}
    alive = {run for (run,) in db.execute("SELECT id FROM runs WHERE ended IS NULL")}
    files = [path for path in (store.folder / "artifacts").glob("*/*") if path not in kept]
    copies = store.cache.glob("*")
    files += [path for path in copies if path not in kept and not (alive and path.name.startswith("."))]
    files += states.useless(store.progress, ahead, alive)
    folders = [path for path in (store.folder / "incoming").glob("*") if path.name not in alive]
    return files + [path for folder in folders for path in folder.rglob("*") if path.is_file()], folders


def _unowned_at(db: sqlite3.Connection, there: Collection[str], cells: str) -> list[str]:
    """Those of the names ``there``, at a URL, that are of cells that we know, and which none of ``cells`` has."""
    owned = db.execute(f"SELECT cell, sha256, name FROM artifacts WHERE cell IN ({cells})")
    kept = {place.name_of(*file) for file in owned}
    idle = {key for (key,) in db.execute("SELECT key FROM cells WHERE state <> 'running'")}  # others may be putting
    return [name for name in there if name not in kept and name.partition("/")[0] in idle]


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
