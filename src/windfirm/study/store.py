"""The store of studies: a folder that survives ``kill -9`` at any moment.

    DIR/study.sqlite     cells, their states and rows, in SQLite's write-ahead mode; see schema.py for the tables
    DIR/artifacts/       files such as networks, named by the key of the cell that made them; never half written
    DIR/cache/           instead, where such files are kept at a URL (see place.py): copies, which may be removed
    DIR/incoming/        what cells at work have written so far; of no use once their run is over
    DIR/progress/        from where cells that were killed go on; see progress.py

A cell is done when its files are in place and its rows committed, in one transaction: there is no half-done cell.
One process, the driver of a run, writes; several runs may share a folder, and each cell is leased to one of them.
The folder must be on a disk that has file locks (of network file systems, those that SQLite trusts).
"""

import base64
import shutil
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windfirm.errors import InputError, StoreError, expected
from windfirm.files import on_disk
from windfirm.study import database, place, progress
from windfirm.study.cell import Cell, canonical
from windfirm.study.lease import Owner, is_alive, myself, new_id
from windfirm.study.work import Ended, File, Task

NAME = "study.sqlite"

#: Keys asked about in one statement; SQLite has a limit on how many values one may hold.
MANY = 500


@dataclass(frozen=True)
class Place:
    """What the rows of a cell are in a study: ``role`` (F, F' or control), ``point`` of the grid, and the seed."""

    cell: str
    role: str
    point: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class State:
    """How far a cell is: waiting, running, done or failed; whose ``run`` it is, and the ``error`` that failed it."""

    state: str
    run: str | None
    error: str | None


class Store:
    """An open store; see the module. Made by ``opened``, for use in one thread.

    Every method raises StoreError when the database is damaged, full, or locked for too long; what was committed stays.
    """

    def __init__(self, folder: Path, db: sqlite3.Connection) -> None:
        self.folder = folder
        self.db = db

    @property
    def artifacts(self) -> str | None:
        """The URL at which files of cells are kept; None where that is the folder."""
        with self.reading() as db:
            found = db.execute("SELECT value FROM store WHERE name = 'artifacts'").fetchone()
        return found and str(found[0])

    def keep_at(self, url: str) -> None:
        """Keep files of cells at ``url``, which place.usable returned, in all runs.

        Raises InputError when an earlier run has kept them elsewhere.
        """
        with self.writing() as db:
            if not db.execute("SELECT count(*) FROM runs").fetchone()[0]:
                db.execute("INSERT OR REPLACE INTO store VALUES ('artifacts', ?)", (url,))
            kept = self.artifacts or str(self.folder / "artifacts")
        if kept.rstrip("/") != url.rstrip("/"):
            raise InputError(
                expected("--artifacts", f"{kept}, where {self.folder} keeps them since its first run", url)
            )

    def add_study(self, name: str, settings: Mapping[str, Any], cells: Sequence[Cell], places: Iterable[Place]) -> None:
        """Note a study and its cells; what is there already stays as it is, and failed cells wait again."""
        with self.writing() as db:
            db.execute(
                "INSERT INTO studies VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET settings = ?2",
                (name, canonical(settings), time.time()),
            )
            db.executemany(
                "INSERT OR IGNORE INTO cells (key, kind, settings, inputs) VALUES (?, ?, ?, ?)",
                ((cell.key, cell.kind, canonical(cell.settings), canonical(cell.inputs)) for cell in cells),
            )
            for table in ("members", "places"):
                db.execute(f"DELETE FROM {table} WHERE study = ?", (name,))
            db.executemany("INSERT INTO members VALUES (?, ?)", ((name, cell.key) for cell in cells))
            db.executemany(
                "INSERT OR IGNORE INTO places VALUES (?, ?, ?, ?, ?)",
                ((name, place.cell, place.role, canonical(place.point), place.seed) for place in places),
            )
            db.execute(
                "UPDATE cells SET state = 'waiting', run = NULL, error = NULL, trace = NULL WHERE state = 'failed' "
                "AND key IN (SELECT cell FROM members WHERE study = ?)",
                (name,),
            )

    def begin(self, about: Mapping[str, Any]) -> str:
        """Note a run of this process; its id."""
        run, owner, now = new_id(), myself(), time.time()
        with self.writing() as db:
            values = (run, owner.host, owner.pid, owner.born, now, now, canonical(about))
            db.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, NULL, ?)", values)
        return run

    def beat(self, run: str) -> None:
        """A sign of life, also of a run that was taken for dead and only slept."""
        with self.writing() as db:
            db.execute("UPDATE runs SET beat = ?, ended = NULL WHERE id = ?", (time.time(), run))

    def end(self, run: str) -> None:
        """Close a run: cells that it did not finish wait for another."""
        with self.writing() as db:
            db.execute("UPDATE runs SET ended = ? WHERE id = ?", (time.time(), run))
            _release(db, [run])
        shutil.rmtree(self.incoming(run), ignore_errors=True)

    def reclaim(self, *, here: bool = False) -> int:
        """Let the cells of runs that are dead wait again, with ``here`` of those of this machine alone; how many."""
        with self.reading() as db:
            runs = db.execute("SELECT id, host, pid, born, beat FROM runs WHERE ended IS NULL").fetchall()
        now = time.time()
        known = [(run, Owner(host, pid, born), beat) for run, host, pid, born, beat in runs]
        dead = [run for run, owner, beat in known if (owner.here or not here) and not is_alive(owner, beat, now)]
        if not dead:
            return 0
        with self.writing() as db:
            db.executemany("UPDATE runs SET ended = beat WHERE id = ?", ((run,) for run in dead))
            count = _release(db, dead)
        for run in dead:
            shutil.rmtree(self.incoming(run), ignore_errors=True)
        return count

    def lease(self, run: str, wanted: Sequence[str]) -> list[str]:
        """Give cells that wait to ``run``; the keys of those that nobody has."""
        give = "UPDATE cells SET state = 'running', run = ?, started = ?, error = NULL, trace = NULL "
        give += "WHERE key = ? AND state IN ('waiting', 'failed')"
        with self.writing() as db:
            return [key for key in wanted if db.execute(give, (run, time.time(), key)).rowcount]

    def commit(self, run: str, ended: Sequence[Ended]) -> None:
        """Keep how cells of ``run`` ended.

        A cell that another run finished first stays as that run left it. A cell that was lost waits again.
        """
        with self.writing() as db:
            for end in ended:
                if end.result is not None:
                    self._finish(db, run, end)
                elif end.error is not None:
                    db.execute(
                        "UPDATE cells SET state = 'failed', seconds = ?, error = ?, trace = ? "
                        "WHERE key = ? AND run = ? AND state = 'running'",
                        (end.seconds, end.error, end.trace, end.key, run),
                    )
                else:
                    db.execute(
                        "UPDATE cells SET state = 'waiting', run = NULL WHERE key = ? AND run = ?", (end.key, run)
                    )
        for end in ended:
            if not end.lost:  # a cell that failed begins anew: what it went on from may have been the reason
                progress.drop(self.progress, end.key, run)

    def task(self, cell: Cell, run: str) -> Task:
        """What the one who does the cell needs; every input must be done, and the cell leased to ``run``."""
        with self.reading():
            inputs = {role: self.files(key) for role, key in cell.inputs.items()}
        state = progress.take_over(self.progress, cell.key, run)
        return Task(cell.key, cell.kind, cell.settings, inputs, self.incoming(run) / cell.key, state, self.artifacts)

    def states(self, keys: Collection[str]) -> dict[str, State]:
        """How far the cells are; those that the store does not know are left out."""
        chosen = "SELECT key, state, run, error FROM cells WHERE key IN"
        with self.reading():
            return {key: State(*rest) for key, *rest in self._many(chosen, keys)}

    def version(self) -> int:
        """A number that changes when another run has committed."""
        with self.reading() as db:
            return int(db.execute("PRAGMA data_version").fetchone()[0])

    def files(self, key: str) -> dict[str, File]:
        """The files of a cell by name."""
        found = self.db.execute("SELECT name, sha256, bytes FROM artifacts WHERE cell = ?", (key,)).fetchall()
        url = self.artifacts
        if url is None:
            return {name: File(self.path(key, name), sha256, size) for name, sha256, size in found}
        return {
            name: File(self.cache / sha256, sha256, size, place.of_file(url, key, sha256, name))
            for name, sha256, size in found
        }

    def path(self, key: str, name: str) -> Path:
        """Where a file of a cell is, or would be, in a store that keeps them in its folder."""
        return self.folder / "artifacts" / key[:2] / f"{key}-{name}"

    def incoming(self, run: str) -> Path:
        """Where the cells of a run write."""
        return self.folder / "incoming" / run

    @property
    def cache(self) -> Path:
        """Where copies of files that are kept at a URL are, by SHA-256."""
        return self.folder / "cache"

    @property
    def progress(self) -> Path:
        """Where cells that take long keep their states."""
        return self.folder / "progress"

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of the block is kept, on the disk, or nothing."""
        with self.reading() as db, database.writing(db):
            yield db

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The database; its complaints are StoreErrors inside the block."""
        with database.explaining(self.folder / NAME):
            yield self.db

    def _finish(self, db: sqlite3.Connection, run: str, end: Ended) -> None:
        """Inside a transaction: nobody else can put files or rows in place before it is over."""
        assert end.result is not None
        facts = canonical(end.result.facts)
        changed = db.execute(
            "UPDATE cells SET state = 'done', run = ?, seconds = ?, facts = ?, error = NULL, trace = NULL "
            "WHERE key = ? AND state <> 'done'",
            (run, end.seconds, facts, end.key),
        ).rowcount
        if not changed:
            return
        for name, file in end.files.items():
            if file.url is None:
                _move(file.path, self.path(end.key, name))
            else:
                place.check(file.url, file.bytes)
            db.execute("INSERT INTO artifacts VALUES (?, ?, ?, ?)", (end.key, name, file.sha256, file.bytes))
        for number, row in enumerate(end.result.rows):
            values = [row[name] for name in ("attack", "title", "eps", "trials", "count", "total")]
            correct = base64.b64decode(row["correct"])
            db.execute("INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (end.key, number, *values, correct))

    def _many(self, statement: str, keys: Collection[str]) -> Iterator[tuple[Any, ...]]:
        listed = list(keys)
        for start in range(0, len(listed), MANY):
            part = listed[start : start + MANY]
            yield from self.db.execute(f"{statement} ({','.join('?' * len(part))})", part)


@contextmanager
def opened(folder: Path | str, *, create: bool = False) -> Iterator[Store]:
    """The store in ``folder``, made if ``create``.

    One of an older version is brought to ours. Raises StoreError when it is missing, damaged, or of a newer version.
    """
    folder = Path(folder)
    path = folder / NAME
    if create:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(expected(str(folder), "a folder that can be written", error.strerror or error)) from error
    elif not path.is_file():
        raise StoreError(expected(str(folder), f"the folder of a study, with a {NAME}", "none"))
    with database.connected(path) as db:
        yield Store(folder, db)


def _release(db: sqlite3.Connection, runs: Sequence[str]) -> int:
    wait = "UPDATE cells SET state = 'waiting', run = NULL WHERE run = ? AND state = 'running'"
    return db.executemany(wait, ((run,) for run in runs)).rowcount


def _move(source: Path, target: Path) -> None:
    """Put a file, whose bytes are on the disk, in its place; so that it is still there after a power cut."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not source.exists():
            got = "none, as another machine took this run for dead while it slept; start it again"
            raise StoreError(expected(str(source), "what a cell wrote", got))
        source.replace(target)
        on_disk(target.parent)
    except OSError as error:
        raise StoreError(expected(str(target), "a place that can be written", error.strerror or error)) from error
