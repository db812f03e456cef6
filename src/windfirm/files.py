"""Writing files so that a reader sees the old content or the new one, never half of it."""

import glob
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from windfirm.errors import InputError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes the place of ``path`` when the block ends well, else it goes.

    Raises InputError with one clear line when the folder cannot be made or written, or the disk is full.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        temporary.chmod(0o666 & ~_umask())
        yield temporary
        on_disk(temporary)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: expected a place that can be written, got: {error.strerror or error}") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def sweep(path: Path) -> None:
    """Remove what an ``atomic(path)`` that was killed left; nobody else may be writing there."""
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        part.unlink(missing_ok=True)


def on_disk(path: Path) -> None:
    """Wait until what was written to a file, or the names in a folder, would still be there after a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def as_text(text: str) -> str:
    """``text``; what is no character in it, as in the name of an old folder, is written out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_text(path: Path, text: str) -> None:
    """Write a whole text file, or nothing; see as_text."""
    with atomic(path) as temporary:
        temporary.write_text(as_text(text), encoding="utf-8")


def _umask() -> int:
    """The user's file mask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
