"""Drops of water or mud on the lens.

The water's light and shade are drawn as the script behind CIFAR-10-C draws them, from the distance to the drops' edges,
with scipy in place of OpenCV: distances are exact here and a chamfer approximation there.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from windfirm.attack.corruptions.resample import blur
from windfirm.attack.corruptions.scene import Scene

WATER = tuple(value / 255 for value in (175, 238, 238))
MUD = tuple(value / 255 for value in (63, 42, 20))

Grid = NDArray[np.float64]


def water(scene: Scene, mean: float, spread: float, sigma: float, threshold: float, strength: float) -> Tensor:
    """Drops that brighten the picture, lit from one side."""
    drops = _drops(scene, mean, spread, sigma, threshold)
    layers = (drops[:, 0].double().clamp(0, 1) * 255).floor().cpu().numpy()
    light = torch.from_numpy(np.stack([_shaded(layer) for layer in layers])).to(scene.images)
    return scene.images + strength * light[:, None] * scene.images.new_tensor(WATER)[:, None, None]


def mud(scene: Scene, mean: float, spread: float, sigma: float, threshold: float, soft: float) -> Tensor:
    """Drops that hide the picture, with edges softened by ``soft`` pixels."""
    drops = _drops(scene, mean, spread, sigma, threshold)
    cover = blur((drops > threshold).to(scene.images), soft * scene.scale)
    cover = torch.where(cover < 0.8, 0, cover)
    return (1 - cover) * scene.images + cover * scene.images.new_tensor(MUD)[:, None, None]


def _drops(scene: Scene, mean: float, spread: float, sigma: float, threshold: float) -> Tensor:
    """Smoothed normal noise, and 0 below ``threshold``, (b, 1, h, w).

    Smoothing over more pixels leaves less of the noise; where the scale grows, so does the noise, to make up for it.
    """
    noise = mean + spread * scene.scale * scene.normal("drops", 1, *scene.size)
    layer = blur(noise, sigma * scene.scale)
    return torch.where(layer < threshold, 0, layer)


def _shaded(drops: Grid) -> Grid:
    """Light and shade in [0, 1] on one layer of ``drops`` (h, w), whole numbers from 0 to 255."""
    edges = _edges(drops, low=50, high=150)
    far = np.minimum(ndimage.distance_transform_edt(~edges), 20) if edges.any() else np.full(drops.shape, 20.0)
    relief = _equalized(np.floor(_box(far)))
    lit = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    relief = np.clip(ndimage.correlate(relief, lit, mode="mirror"), 0, 255)
    light: Grid = drops * np.rint(_box(relief))
    return light / max(float(light.max()), 1.0)


def _box(grid: Grid) -> Grid:
    """The mean of 3×3 places."""
    total: Grid = ndimage.correlate(grid, np.ones((3, 3)), mode="mirror")
    return total / 9


def _equalized(grid: Grid) -> Grid:
    """Whole numbers from 0 to 255 spread so that each range of them holds as many places."""
    counts = np.bincount(grid.astype(np.int64).ravel(), minlength=256)
    first = int(counts.nonzero()[0][0])
    others = grid.size - counts[first]
    if others == 0:
        return grid
    below: Grid = np.rint((counts.cumsum() - counts[first]) * 255 / others)
    return below[grid.astype(np.int64)]


def _edges(grid: Grid, low: float, high: float) -> NDArray[np.bool_]:
    """Canny's edges (PAMI 1986): crests of the gradient above ``low`` that hang together with one above ``high``."""
    across, down = (ndimage.sobel(grid, axis, mode="nearest") for axis in (1, 0))
    steep = np.abs(across) + np.abs(down)
    around = np.pad(steep, 1)

    def beside(right: int, below: int) -> Grid:
        height, width = steep.shape
        return around[1 + below : 1 + below + height, 1 + right : 1 + right + width]

    flat, upright = np.tan(np.pi / 8), np.tan(3 * np.pi / 8)
    level = np.abs(down) < flat * np.abs(across)
    plumb = np.abs(down) > upright * np.abs(across)
    rising = across * down < 0
    crest = np.where(
        level,
        (steep > beside(-1, 0)) & (steep >= beside(1, 0)),
        np.where(
            plumb,
            (steep > beside(0, -1)) & (steep >= beside(0, 1)),
            np.where(
                rising,
                (steep > beside(1, -1)) & (steep > beside(-1, 1)),
                (steep > beside(-1, -1)) & (steep > beside(1, 1)),
            ),
        ),
    ) & (steep > low)
    regions, count = ndimage.label(crest, np.ones((3, 3)))
    strong = np.zeros(count + 1, bool)
    strong[np.unique(regions[crest & (steep > high)])] = True
    strong[0] = False
    found: NDArray[np.bool_] = strong[regions]
    return found
