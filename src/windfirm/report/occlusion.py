"""Maps of where a square hurts, as pictures: what is left of each network's answer with a square at each place."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from windfirm.report import words
from windfirm.report.page import Cell, Pixels, Strip, uri

#: Log odds at which a colour is full, either way: 19 to 1.
FULL = 3.0
#: Red, green and blue of places where the label is lost, where it is as likely as not, and where it is safe.
LOST, EVEN, SAFE = (np.array(colour, float) for colour in ((184, 80, 11), (245, 245, 243), (11, 102, 176)))

TITLE = (
    "The square’s middle stands at each place in turn. Blue: the label is kept, orange: it is lost, pale: even odds; "
    "the same colours for all networks."
)


def strip(
    images: Sequence[Pixels], labels: Sequence[int], maps: Mapping[str, NDArray[np.float32]], classes: Sequence[str]
) -> Strip:
    """``images`` (h, w, c) uint8 above the map of each network: by role (n, rows, columns), log odds of the label."""
    names = [classes[label] if 0 <= label < len(classes) else f"class {label}" for label in labels]
    rows = [
        ("clean", [Cell(uri(image), f"{name}, unchanged", name) for image, name in zip(images, names, strict=True)])
    ]
    for role, found in maps.items():
        cells = []
        for name, odds in zip(names, found, strict=True):
            lost = int((odds < 0).sum())
            said = f"lost at {lost} of {odds.size}"
            cells.append(
                Cell(uri(picture(odds)), f"{name}: {words.prime(role)} loses it at {lost} of {odds.size}", said)
            )
        rows.append((words.prime(role), cells))
    return Strip("occlusion map", TITLE, rows, [])


def picture(odds: NDArray[np.float32], side: int = 64) -> Pixels:
    """``odds`` (rows, columns) as an image (side, side, 3) uint8, smooth between the places."""
    share = np.clip(odds / FULL, -1, 1)[..., None]
    colours = np.where(share < 0, EVEN + (LOST - EVEN) * -share, EVEN + (SAFE - EVEN) * share)
    small = Image.fromarray(np.rint(colours).astype(np.uint8))
    return np.asarray(small.resize((side, side), Image.Resampling.BILINEAR))
