"""A folder of class folders as a data set: ``DIR/cat/1.png``, or ``DIR/train/cat/1.png`` and ``DIR/test/cat/2.png``."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from windfirm.data.images import Images
from windfirm.errors import DataError, expected

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm"})
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "PPM")
MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})  # eight bits a channel


def load_folder(folder: Path, split: str) -> Images:
    """The images of one split, in RGB, ordered by class name and file name; files of the other split are not opened.

    Classes are the folder names, sorted; with ``train`` and ``test`` below, those found in either, so that both splits
    number them alike. A folder that has neither serves as it is for both splits. Raises DataError when there is no
    image, one cannot be read, or not all have the size of the first.
    """
    halves = [half for half in (folder / "train", folder / "test") if half.is_dir()]
    base = folder / split if halves else folder
    if not base.is_dir():
        raise DataError(expected(str(folder), f"a folder {split} beside {halves[0].name}", "none"))
    classes = sorted({path.name for half in halves or [folder] for path in half.iterdir() if _is_class(path)})
    files = [(path, label) for label, name in enumerate(classes) for path in _image_files(base / name)]
    if not files:
        raise DataError(expected(str(base), "class folders with images", "none"))
    with _open(files[0][0]) as first:
        width, height = first.size
    images = np.empty((len(files), 3, height, width), np.uint8)
    for i, (path, _) in enumerate(files):
        with _open(path) as image:
            if image.size != (width, height):
                wanted = f"{width} × {height} pixels like {files[0][0].name}"
                raise DataError(expected(str(path), wanted, f"{image.size[0]} × {image.size[1]}"))
            if image.mode not in MODES:
                raise DataError(expected(str(path), "8 bits a channel, gray or RGB", f"mode {image.mode}"))
            try:
                images[i] = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
            except (OSError, SyntaxError, ValueError) as error:
                raise DataError(expected(str(path), "a whole image", "a damaged one")) from error
    labels = torch.tensor([label for _, label in files])
    name = f"{folder.resolve().name}/{split}" if halves else folder.resolve().name
    return Images(torch.from_numpy(images), labels, tuple(classes), name)


def _is_class(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _image_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    )


def _open(path: Path) -> Image.Image:
    """The image with its header read and nothing decoded."""
    try:
        return Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise DataError(expected(str(path), "an image of a size that can be decoded", "a larger one")) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(expected(str(path), "an image", "something else")) from error
