"""One image file as an array: decoded, turned upright, brought to a size. Imports no torch: worker processes run it."""

import warnings
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from windfirm.errors import InputError, expected

Pixels = NDArray[np.uint8]

#: How an image of another size is brought to the one asked for; see ``resized``.
Resize = Literal["crop", "squash", "pad"]
RESIZES: tuple[str, ...] = get_args(Resize)

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "PPM")
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"})  # eight bits a channel

#: The share of the resized short side that a crop keeps, as in the usual 256 → 224; small images are kept whole.
CROP = 0.875
SMALL = 64

#: A side so many times the other is scaled to as many times the size asked for, and nearly all of it cropped away.
THIN = 100

#: EXIF's orientation → what turns the image upright.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION = 0x0112


def check_resize(resize: str) -> None:
    """Raise InputError for what is none of RESIZES."""
    if resize not in RESIZES:
        raise InputError(expected("resize", " or ".join(RESIZES), resize))


def read(path: Path, shape: tuple[int, int, int] | None, resize: str) -> Pixels | str:
    """The image in ``path`` as (c, h, w) uint8, or in a few words why it cannot be read.

    ``shape`` (c, h, w), with c 3 for RGB or 1 for grey, is what to bring it to by the policy ``resize``; None keeps its
    size, in RGB. Palettes and CMYK are converted, transparency is dropped, sixteen bits a channel are refused where
    Pillow would clip them. Of an animation the first frame counts.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about metadata and palettes
            return _read(path, shape, resize)
    except Image.DecompressionBombError:
        return "too large"
    except UnidentifiedImageError:
        return "not an image"
    except OSError as error:
        return "a damaged image" if error.errno is None else (error.strerror or "cannot be opened")
    except Exception:  # files from anywhere; decoders raise anything
        return "a damaged image"


def _read(path: Path, shape: tuple[int, int, int] | None, resize: str) -> Pixels | str:
    with Image.open(path, formats=FORMATS) as image:
        if image.mode not in MODES:
            return f"mode {image.mode}, not 8 bits a channel"
        turn = TURNS.get(_orientation(image))
        picture: Image.Image = image.convert("RGBA") if image.mode in ("P", "PA") else image
        picture = picture.convert("RGB" if shape is None or shape[0] == 3 else "L")
    if turn is not None:
        picture = picture.transpose(turn)
    if shape is not None:
        if resize == "crop" and max(picture.size) > THIN * min(picture.size):
            return f"{picture.width}×{picture.height}, too long and thin to crop"
        picture = resized(picture, shape[1], shape[2], resize)
    pixels = np.asarray(picture)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def resized(image: Image.Image, height: int, width: int, resize: str) -> Image.Image:
    """``image`` with ``height`` × ``width`` pixels, bilinear with antialiasing; as it is when it has that size.

    - ``crop``: scaled until it covers the size, then cut in the middle. From 64 pixels on it covers 1 / 0.875 of the
      size in each direction first (256 for 224), which is how networks for ImageNet are tested.
    - ``squash``: width and height scaled each on its own.
    - ``pad``: scaled until it fits inside, in the middle of black.
    """
    if image.size == (width, height):
        return image
    if resize == "squash":
        return _scaled(image, (width, height))
    if resize == "pad":
        inside = _scaled(image, _around(image.size, width, height, cover=False))
        whole = Image.new(image.mode, (width, height))
        whole.paste(inside, ((width - inside.width) // 2, (height - inside.height) // 2))
        return whole
    share = CROP if min(height, width) >= SMALL else 1.0
    image = _scaled(image, _around(image.size, round(width / share), round(height / share), cover=True))
    left, top = round((image.width - width) / 2), round((image.height - height) / 2)
    return image.crop((left, top, left + width, top + height))


def _around(size: tuple[int, int], width: int, height: int, *, cover: bool) -> tuple[int, int]:
    """``size`` scaled, ratio kept, so that one side fits exactly and the other is not smaller (``cover``) or larger."""
    wide = width * size[1] < height * size[0]  # wider than the frame
    if wide == cover:
        return max(int(height * size[0] / size[1]), 1), height
    return width, max(int(width * size[1] / size[0]), 1)


def _scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.BILINEAR)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged metadata is no reason to lose the image
        return 1
