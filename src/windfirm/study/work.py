"""What is handed to the one who does a cell, and what comes back: plain values and files."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windfirm.errors import StoreError, expected

#: Bytes hashed at a time.
CHUNK = 1 << 20


@dataclass(frozen=True)
class File:
    """A file with what it must be: its SHA-256 and its size in bytes."""

    path: Path
    sha256: str
    bytes: int

    def checked(self) -> Path:
        """The path of the file. Raises StoreError unless it is there, byte for byte."""
        try:
            found = digest(self.path)
        except OSError as error:
            raise StoreError(expected(str(self.path), "a file of the store", error.strerror or error)) from error
        if found != self.sha256:
            raise StoreError(expected(str(self.path), f"SHA-256 {self.sha256}", f"{found}: the file was damaged"))
        return self.path


@dataclass(frozen=True)
class Task:
    """One cell to do: see Cell. ``inputs``: the files of each role by name. ``out``: where new files go, see new.

    ``progress``: a file in which a cell that takes long may keep its state, and finds it when it was killed before.
    """

    key: str
    kind: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, File]]
    out: Path
    progress: Path

    def input(self, role: str, name: str) -> Path:
        """A file that the cell starts from. Raises StoreError when it is missing or damaged."""
        files = self.inputs[role]
        if name not in files:
            raise StoreError(expected(f"cell {self.key}: {role}", f"a file {name}", ", ".join(files) or "none"))
        return files[name].checked()

    def new(self, name: str) -> Path:
        """Where a file of that name is to be written, to be kept as the cell's."""
        self.out.mkdir(parents=True, exist_ok=True)
        return self.out / name


@dataclass(frozen=True)
class Result:
    """What a cell came to: ``facts`` about it, and ``rows`` as windfirm.evaluate.outcome.pack makes them.

    Files are where Task.new said.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Ended:
    """How a cell ended. ``result`` and ``files`` (name to file) when it went well, else ``error``, a line.

    ``lost``: the process that worked on it is gone, which says nothing about the cell; with an ``error``, too often.
    ``trace``: where it failed.
    """

    key: str
    seconds: float
    result: Result | None = None
    files: Mapping[str, File] = field(default_factory=dict)
    error: str | None = None
    trace: str | None = None
    lost: bool = False


#: Does a cell. What it raises fails the cell and no other.
Executor = Callable[[Task], Result]


def digest(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            total.update(chunk)
    return total.hexdigest()
