"""Taking known files out of an archive that nobody vouches for.

Only base names that were asked for are ever written, under exactly that name; no path of the archive is used. Links,
devices and paths that lead outside mark an archive as poisoned. What may be unpacked is bounded before it starts.
"""

import gzip
import shutil
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from windfirm.errors import DataError, expected

MEMBERS = 100  # the real archives have eight to twelve


class _Bounded:
    """A stream that ends in a DataError after ``limit`` bytes, so that no small file unpacks into a huge one."""

    def __init__(self, stream: BinaryIO, limit: int, where: str) -> None:
        self.stream, self.left, self.limit, self.where = stream, limit, limit, where

    def read(self, size: int) -> bytes:
        chunk = self.stream.read(size)
        self.left -= len(chunk)
        if self.left < 0:
            raise DataError(expected(self.where, f"at most {self.limit:,} bytes when unpacked", "more"))
        return chunk


def wanted_files(source: Path, wanted: Collection[str], into: Path, limit: int, where: str) -> dict[str, Path]:
    """The wanted files that ``source``, a tar archive or a folder, holds: base name to path.

    Archives are unpacked in ``into``; in a folder, files lie at the top or one level below. ``where`` names the source
    in errors. Raises DataError when an archive is damaged or poisoned, or anything holds more than ``limit`` bytes.
    """
    if source.is_dir():
        return _find(source, wanted, limit, where)
    try:
        raw = source.open("rb")
    except OSError as error:
        raise DataError(expected(where, "a file that can be read", error.strerror or error)) from error
    with raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = gzip.GzipFile(fileobj=raw) if zipped else raw
        try:
            return _unpack(_Bounded(stream, limit, where), wanted, into, where)  # type: ignore[arg-type]
        except (tarfile.TarError, zlib.error, EOFError, gzip.BadGzipFile, ValueError, OverflowError) as error:
            got = f"a damaged one ({type(error).__name__})"
            raise DataError(expected(where, "a whole .tar or .tar.gz archive", got)) from error


def _unpack(stream: BinaryIO, wanted: Collection[str], into: Path, where: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        for number, member in enumerate(tar):
            path = PurePosixPath(member.name)
            if number == MEMBERS:
                raise DataError(expected(where, f"at most {MEMBERS} files", "more"))
            if not (member.isfile() or member.isdir()):
                raise DataError(expected(where, "files and folders only", f"a link or device, {member.name!a}"))
            if path.is_absolute() or ".." in path.parts:
                raise DataError(expected(where, "paths inside the archive", ascii(member.name)))
            content = tar.extractfile(member)
            if content is None or path.name not in wanted:
                continue
            if path.name in files:
                raise DataError(expected(where, f"one {path.name}", "two"))
            files[path.name] = into / path.name
            with files[path.name].open("xb") as file:
                shutil.copyfileobj(content, file)
    return files


def _find(folder: Path, wanted: Collection[str], limit: int, where: str) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("*")) + sorted(folder.glob("*/*")):
        if path.name in wanted and path.is_file():
            if path.name in files:
                raise DataError(expected(where, f"one {path.name}", "two"))
            if path.stat().st_size > limit:
                raise DataError(expected(f"{where}: {path.name}", f"at most {limit:,} bytes", "more"))
            files[path.name] = path
    return files
