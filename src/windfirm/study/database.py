"""A SQLite file as the store uses it: opened, its tables made or brought to ours, its complaints in our words."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from windfirm.errors import StoreError, expected
from windfirm.study import schema

#: Seconds that a write waits for that of another run.
PATIENCE = 60.0
#: And how many between two looks where SQLite does not wait itself.
PAUSE = 0.01


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """The database in ``path`` with our tables, for use in one thread; for reading alone where nothing can be written.

    Raises StoreError when it is damaged, not ours, or of a newer version.
    """
    fixed = path.is_file() and not os.access(path.parent, os.W_OK)
    with explaining(path):
        if fixed:
            db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)
        else:
            db = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    with closing(db):
        with explaining(path):
            _recognise(db, path) if fixed else _prepare(db, path)
        yield db


@contextmanager
def writing(db: sqlite3.Connection) -> Iterator[None]:
    """A transaction: all of the block is kept, on the disk, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@contextmanager
def explaining(path: Path) -> Iterator[None]:
    """SQLite's complaints are StoreErrors inside the block."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explained(path, error) from error


def _recognise(db: sqlite3.Connection, path: Path) -> None:
    """Refuse what cannot be read as it is: without a newer version's knowledge, or what only a writer could finish."""
    version = _version(db, path)
    log = path.with_name(f"{path.name}-wal")
    if version < schema.VERSION or (log.is_file() and log.stat().st_size):
        got = f"version {version}" if version < schema.VERSION else f"one that a run has not closed, with {log.name}"
        raise StoreError(expected(str(path), "a folder that can be written, to bring the store up to date", got))


def _version(db: sqlite3.Connection, path: Path) -> int:
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > schema.VERSION:
        got = f"version {version}; a newer Windfirm may read it"
        raise StoreError(expected(str(path), f"a store of version {schema.VERSION}", got))
    return version


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    db.execute(f"PRAGMA busy_timeout = {int(1000 * PATIENCE)}")
    version = _version(db, path)
    write_ahead(db)
    db.execute("PRAGMA synchronous = FULL")  # a commit is on the disk when it returns
    if version < schema.VERSION:
        with writing(db):
            version = int(db.execute("PRAGMA user_version").fetchone()[0])  # another run may have been faster
            if version:
                schema.migrate(db, version)
            elif db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise StoreError(expected(str(path), "a store of Windfirm", "another database"))
            else:
                schema.create(db)


def write_ahead(db: sqlite3.Connection) -> None:
    """Switch to a write-ahead log. SQLite does not wait for that while another run writes its first, so we do."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
            time.sleep(PAUSE)


def _explained(path: Path, error: sqlite3.Error) -> StoreError:
    text = str(error)
    if "full" in text:
        return StoreError(expected(str(path), "room on the disk; all finished cells are safe", text))
    if "locked" in text or "busy" in text:
        return StoreError(expected(str(path), f"its turn to write within {PATIENCE:.0f} s", text))
    if "readonly" in text or "unable to open" in text:
        return StoreError(expected(str(path), "a database that can be written", text))
    if isinstance(error, sqlite3.DatabaseError) and ("malformed" in text or "not a database" in text):
        return StoreError(expected(str(path), "an undamaged database", text))
    return StoreError(expected(str(path), "a database that can be used", text))
