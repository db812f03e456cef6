"""Many image files as one array, decoded by worker processes."""

import errno
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from windfirm.data import picture
from windfirm.data.mortal import end_with_parent
from windfirm.data.picture import Pixels
from windfirm.data.store import home
from windfirm.errors import DataError, InputError, expected

#: Files for which another process is worth its start, and how many of them travel at once.
SHARE = 64
CHUNK = 16
#: Bytes from which on the array lies in a file of the cache folder instead of in memory.
IN_MEMORY = 1 << 30
#: The most workers; Windows waits for no more.
MOST = 60


@dataclass(frozen=True)
class Gathered:
    """``images`` (n, c, h, w) uint8 of the files numbered ``read``, in order; ``unread``: number → why not."""

    images: Pixels
    read: list[int]
    unread: dict[int, str]


def gather(
    paths: Sequence[Path],
    shape: tuple[int, int, int] | None = None,
    resize: str = "crop",
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Gathered:
    """Decode ``paths``, each brought to ``shape`` (c, h, w), or as it is when ``shape`` is None.

    Results do not depend on the number of ``workers``: by default one process for each core, none for few files. An
    array of more than a gigabyte lies in a file without a name in the cache folder, memory-mapped: the system keeps in
    memory what is in use, and the file is gone with the array, however the process ends. ``progress`` counts files,
    unless there are few.

    Raises DataError when a file has another size than the first and no ``shape`` was given, when the disk is too small,
    or when a worker dies; InputError for a shape or policy that there is not.
    """
    picture.check_resize(resize)
    if shape is not None and (shape[0] not in (1, 3) or min(shape) < 1):
        got = ",".join(map(str, shape))
        raise InputError(expected("images", "a size of 3 (RGB) or 1 (grey), height and width", got))
    if workers is None:
        workers = min(_cores(), len(paths) // SHARE, MOST)
    images: Pixels | None = None
    read: list[int] = []
    unread: dict[int, str] = {}
    for i, found in enumerate(_decoded(paths, partial(picture.read, shape=shape, resize=resize), workers)):
        if progress and len(paths) >= 2 * SHARE:
            progress(i + 1, len(paths))
        if isinstance(found, str):
            unread[i] = found
            continue
        if images is None:
            images = _room((len(paths), *found.shape))
        elif found.shape != images.shape[1:]:
            known = f"{_size(images[0])} pixels like {paths[read[0]].name}"
            wanted = f"{known}, or a size to bring all to (--input C,H,W, in a study network.input)"
            raise DataError(expected(str(paths[i]), wanted, _size(found)))
        images[len(read)] = found
        read.append(i)
    if images is None:
        images = np.empty((0, *(shape or (3, 0, 0))), np.uint8)
    return Gathered(images[: len(read)], read, unread)


def _decoded(paths: Sequence[Path], read: Callable[[Path], Pixels | str], workers: int) -> Iterator[Pixels | str]:
    if workers < 2:
        yield from map(read, paths)
        return
    # Fresh processes: a copy of this one would hold its threads' locks, and all of torch.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, fresh, end_with_parent) as pool:
        try:
            with _deaf():
                results = pool.map(read, paths, chunksize=CHUNK)
            yield from results
        except BrokenProcessPool as error:
            got = 'one that died (out of memory, or a script without `if __name__ == "__main__":`)'
            raise DataError(expected("decoding", "worker processes that live to the end", got)) from error
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Ignore interrupts from the keyboard; processes that start meanwhile do so for good, and this one stops them."""
    if threading.current_thread() is not threading.main_thread():  # another may not decide about signals
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _room(shape: tuple[int, ...]) -> Pixels:
    """An array to be filled: in memory, or in a file that has no name."""
    size = int(np.prod(shape, dtype=np.int64))
    if size <= IN_MEMORY:
        return np.empty(shape, np.uint8)
    folder = home()
    wanted = f"room for {size / 1e9:.1f} GB of decoded images; fewer of them (--images) need less"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(folder).free) < size:
            raise DataError(expected(str(folder), wanted, f"{free / 1e9:.1f} GB"))
        with tempfile.TemporaryFile(dir=folder) as file:
            _reserve(file.fileno(), size)
            return np.memmap(file, np.uint8, "r+", shape=shape)
    except OSError as error:
        raise DataError(expected(str(folder), wanted, error.strerror or error)) from error


def _reserve(file: int, size: int) -> None:
    """Make the file ``size`` bytes long, with no holes: one that meets a full disk would end the process."""
    try:
        os.posix_fallocate(file, 0, size)
    except AttributeError:  # no such call on this system
        os.truncate(file, size)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        os.truncate(file, size)  # no such call on this file system


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _size(pixels: Pixels) -> str:
    return f"{pixels.shape[2]} × {pixels.shape[1]}"
