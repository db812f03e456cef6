"""Where finished files are kept when that is not the folder of the store: a URL of any filesystem that fsspec knows.

    URL/KEY/SHA256-NAME    a file of the cell KEY; never half written
    URL/KEY/.part-…        one on its way there

A name says what is in the file, so two that finish the same cell do not disturb each other. Credentials are taken from
where the filesystem looks for them; none is kept. What goes wrong is an UnreachableError that names the URL; or, for a
file that is not there, a plain StoreError.
"""

import importlib
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from windfirm.errors import InputError, StoreError, UnreachableError, brief, expected
from windfirm.files import on_disk

#: What fsspec calls the filesystem of this machine, into which shared directories are mounted.
LOCAL = ("file", "local")


def usable(url: str) -> str:
    """``url``, or that of a path, as every process understands it; a file is put there and removed, to be sure."""
    with _at(url, "a place that can be written") as (fs, path):
        probe = f"{path}/.part-{secrets.token_hex(8)}"
        fs.makedirs(path, exist_ok=True)
        fs.pipe_file(probe, b"")
        fs.rm_file(probe)
        return f"file://{path}" if fs.protocol == LOCAL else url


def name_of(key: str, sha256: str, name: str) -> str:
    """The name at the place of a file of the cell ``key``."""
    return f"{key}/{sha256}-{name}"


def of_file(url: str, key: str, sha256: str, name: str) -> str:
    """The URL, at ``url``, of a file of the cell ``key``."""
    return f"{url.removesuffix('/')}/{name_of(key, sha256, name)}"


def put(path: Path, url: str) -> None:
    """Copy a file to ``url``: all of it, on the disk there, or nothing under that name."""
    with _at(url, "a place that can be written") as (fs, target):
        folder = target.rpartition("/")[0]
        part = f"{folder}/.part-{secrets.token_hex(8)}"
        fs.makedirs(folder, exist_ok=True)
        fs.put_file(str(path), part)
        fs.mv(part, target)
        if fs.protocol == LOCAL:
            on_disk(Path(target))
            on_disk(Path(folder))


def get(url: str, path: Path) -> None:
    """Copy the file at ``url`` to ``path``."""
    with _at(url, "a file of the store") as (fs, source):
        fs.get_file(source, str(path))


def check(url: str, size: int) -> None:
    """Raise StoreError unless there is a file of ``size`` bytes at ``url``."""
    with _at(url, "a file of the store") as (fs, path):
        found = fs.info(path)["size"]
    if found != size:
        raise StoreError(expected(url, f"{size:,} bytes", f"{found:,}"))


def names(url: str) -> dict[str, int]:
    """All names at ``url``, with their sizes in bytes."""
    with _at(url, "a place that can be read") as (fs, path):
        return {name.removeprefix(f"{path}/"): info["size"] for name, info in fs.find(path, detail=True).items()}


def remove(url: str, unwanted: Collection[str]) -> None:
    """Remove these names, which are there, from ``url``."""
    with _at(url, "a place that can be written") as (fs, path):
        if unwanted:
            fs.rm([f"{path}/{name}" for name in unwanted])


@contextmanager
def _at(url: str, wanted: str) -> Iterator[tuple[Any, str]]:
    """The filesystem of ``url``, which holds no old listings, and the path there."""
    try:
        core = importlib.import_module("fsspec.core")
    except ImportError as error:
        raise InputError(expected(url, "the extra windfirm[fsspec]", "an environment without it")) from error
    try:
        fs, path = core.url_to_fs(url)
        fs.invalidate_cache()
        yield fs, path
    except Exception as error:  # of as many kinds as there are filesystems
        kind = StoreError if isinstance(error, FileNotFoundError) else UnreachableError
        raise kind(expected(url, wanted, brief(error))) from error
