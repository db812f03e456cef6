"""What is handed to the one who does a cell, and what comes back: plain values and files."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windfirm.errors import StoreError, expected
from windfirm.files import atomic
from windfirm.study import place

#: Bytes hashed at a time.
CHUNK = 1 << 20


@dataclass(frozen=True)
class File:
    """A file with what it must be: its SHA-256 and its size in bytes.

    Where there is a ``url``, the file is kept there, and ``path`` is where a copy of it may be.
    """

    path: Path
    sha256: str
    bytes: int
    url: str | None = None

    @property
    def where(self) -> str:
        """Where it is kept, in words."""
        return self.url or str(self.path)

    def checked(self) -> Path:
        """The path of the file, fetched if need be. Raises StoreError unless it is there, byte for byte."""
        if self.url is None:
            self._check(self.path)
            return self.path
        with suppress(StoreError):  # no copy, or a damaged one
            self._check(self.path)
            return self.path
        with atomic(self.path) as part:
            place.get(self.url, part)
            self._check(part)
        return self.path

    def _check(self, path: Path) -> None:
        try:
            found = digest(path)
        except OSError as error:
            raise StoreError(expected(self.where, "a file of the store", error.strerror or error)) from error
        if found != self.sha256:
            raise StoreError(expected(self.where, f"SHA-256 {self.sha256}", f"{found}: the file was damaged"))


@dataclass(frozen=True)
class Task:
    """One cell to do: see Cell. ``inputs``: the files of each role by name. ``out``: where new files go, see new.

    ``progress``: a file in which a cell that takes long may keep its state, and finds it when it was killed before.
    ``artifacts``: the URL to which the new files go in the end; None where the driver puts them in their place.
    """

    key: str
    kind: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Mapping[str, File]]
    out: Path
    progress: Path
    artifacts: str | None = None

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

    Files are where Task.new said. ``seconds``: how long it took at least, where a part was done before this try.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    seconds: float = 0.0


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
