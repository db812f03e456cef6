"""The subset of CIFAR-10 inside the package: 4,000 training and 1,000 test images, for work without a download.

Each split is stratified (400 and 100 images a class, from the official split of the same name) and stored in shuffled
order, so that every slice is mixed. The images stand in columns, 500 to a lossless WebP sheet: of the layouts tried,
one column needs the fewest bytes. A JSON file beside holds the labels, the positions in the full split and the digest.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from windfirm.data.cifar10 import CIFAR10
from windfirm.data.images import Images
from windfirm.errors import DataError, expected

FOLDER = Path(__file__).with_name("embedded")
SHEET = 500  # images to a sheet; WebP ends at 16,383 pixels
SIDE = 32


def load_embedded(split: str, folder: Path = FOLDER) -> Images:
    """One split of the embedded subset. Raises DataError when its files are missing or not what was packed."""
    name = f"embedded/{split}"
    try:
        notes = json.loads((folder / f"{split}.json").read_text(encoding="utf-8"))
        labels = np.array(notes["labels"], dtype=np.uint8)
        starts = range(0, len(labels), SHEET)
        images = np.concatenate(
            [read_sheet(folder / f"{split}-{i}.webp", len(labels[at : at + SHEET])) for i, at in enumerate(starts)]
        )
        got = digest(images, labels, np.array(notes["indices"], dtype="<u2"))
    except (OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        raise DataError(
            expected(name, "the files that came with windfirm", f"{type(error).__name__}: {error}")
        ) from error
    if got != notes.get("sha256"):
        raise DataError(expected(name, "the images and labels that came with windfirm", "others; install it again"))
    return Images(torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64)), CIFAR10.classes, name)


def read_sheet(path: Path, count: int) -> NDArray[np.uint8]:
    """The ``count`` images of one sheet, (count, 3, 32, 32). Raises OSError or ValueError if it is no such sheet."""
    with Image.open(path, formats=["WEBP"]) as sheet:
        if sheet.size != (SIDE, SIDE * count):
            raise ValueError(f"{path.name} of {sheet.size} pixels")
        pixels = np.asarray(sheet.convert("RGB"))
    return np.ascontiguousarray(pixels.reshape(count, SIDE, SIDE, 3).transpose(0, 3, 1, 2))


def digest(images: NDArray[np.uint8], labels: NDArray[np.uint8], indices: NDArray[np.uint16]) -> str:
    """SHA-256 over the pixels, the labels and the little-endian positions of a split."""
    return hashlib.sha256(images.tobytes() + labels.tobytes() + indices.astype("<u2").tobytes()).hexdigest()
