"""Where fetched data sets live: one folder each, one memory-mapped ``.npy`` file an array, complete or not there."""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from windfirm.data import Split
from windfirm.data.cifar10 import ARRAYS, Dataset
from windfirm.data.images import Images
from windfirm.errors import DataError, InputError, expected

Arrays = Mapping[str, NDArray[np.uint8]]

STALE = 24 * 3600  # seconds after which an unfinished folder belongs to a fetch that was killed


def home() -> Path:
    """The user's folder: ``WINDFIRM_HOME``, else ``windfirm`` in ``XDG_CACHE_HOME``, else ``~/.cache/windfirm``."""
    if chosen := os.environ.get("WINDFIRM_HOME"):
        return Path(chosen).expanduser().absolute()
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (cache if cache.is_absolute() else Path.home() / ".cache") / "windfirm"


def root() -> Path:
    """The folder that holds one folder per fetched data set."""
    return home() / "data"


def load_stored(dataset: Dataset, split: Split, root: Path) -> Images:
    """One split, memory-mapped; the files of the other split are not opened. Raises DataError when it is not there."""
    images, labels = (open_array(dataset, f"{split}_{part}", root) for part in ("images", "labels"))
    return Images(
        torch.from_numpy(images), torch.from_numpy(labels).to(torch.int64), dataset.classes, f"{dataset.name}/{split}"
    )


def open_array(dataset: Dataset, array: str, root: Path) -> NDArray[np.uint8]:
    """One array, memory-mapped copy-on-write: torch takes it as writable, and no write ever reaches the file."""
    path = root / dataset.name / f"{array}.npy"
    remedy = f"run `windfirm data fetch {dataset.name}`"
    wanted = dataset.shape_of(array)
    try:
        found: NDArray[np.uint8] = np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError as error:
        raise DataError(expected(str(path), "a stored array", f"no such file; {remedy}")) from error
    except (OSError, ValueError, EOFError) as error:
        raise DataError(expected(str(path), "a stored array", f"a damaged file; {remedy}")) from error
    if found.dtype != np.uint8 or found.shape != wanted or not found.flags.c_contiguous:
        raise DataError(expected(str(path), f"uint8 {wanted}", f"{found.dtype} {found.shape}; {remedy}"))
    return found


def check_digest(dataset: Dataset, array: str, values: NDArray[np.uint8], where: str) -> None:
    """Raise DataError unless ``values`` are, byte for byte, the array of that name."""
    found = hashlib.sha256(np.ascontiguousarray(values).reshape(-1).data).hexdigest()
    if found != dataset.digests[array]:
        raise DataError(expected(where, f"{array} with SHA-256 {dataset.digests[array]}", found))


def verify_stored(dataset: Dataset, root: Path) -> None:
    """Hash all stored arrays again. Raises DataError that names the first one that is missing or different."""
    for array in ARRAYS:
        values = open_array(dataset, array, root)
        check_digest(dataset, array, values, str(root / dataset.name / f"{array}.npy"))


def is_stored(dataset: Dataset, root: Path) -> bool:
    """Whether every stored array is there and right."""
    try:
        verify_stored(dataset, root)
    except DataError:
        return False
    return True


@contextmanager
def unfinished(dataset: Dataset, root: Path) -> Iterator[Path]:
    """A hidden folder beside the data set's own, gone when the block ends, however it ends.

    Removes what fetches that were killed a day ago or earlier have left. Raises InputError when the disk refuses.
    """
    folder = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        for left in root.glob(f".{dataset.name}.*.part"):
            if time.time() - left.stat().st_mtime > STALE:
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{dataset.name}.", suffix=".part", dir=root))
        yield folder
    except OSError as error:
        raise InputError(f"{root}: expected a place that can be written, got: {error.strerror or error}") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def put(dataset: Dataset, arrays: Arrays, root: Path, folder: Path) -> None:
    """Write all arrays in ``folder`` (from ``unfinished``) and move them into place in one rename."""
    target = root / dataset.name
    ready = folder / "ready"
    ready.mkdir()
    for array in ARRAYS:
        with (ready / f"{array}.npy").open("wb") as file:
            np.save(file, arrays[array])
            file.flush()
            os.fsync(file.fileno())
    if not is_stored(dataset, root):
        with suppress(FileNotFoundError):
            target.rename(folder / "damaged")
    try:
        ready.rename(target)
    except OSError:
        if not is_stored(dataset, root):  # else another fetch was faster, and its arrays are the same
            raise
