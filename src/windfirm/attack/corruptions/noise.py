"""Noise on every value of every pixel."""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from windfirm.attack.corruptions.scene import Scene


def gaussian_noise(scene: Scene, sigma: float) -> Tensor:
    """Normal noise of standard deviation ``sigma`` on each value."""
    return scene.images + sigma * scene.normal("noise", *scene.images.shape[1:])


def speckle_noise(scene: Scene, sigma: float) -> Tensor:
    """Normal noise in proportion to the value."""
    return scene.images * (1 + sigma * scene.normal("noise", *scene.images.shape[1:]))


def shot_noise(scene: Scene, photons: int) -> Tensor:
    """Each value counts photons: Poisson with mean value × ``photons``, divided by ``photons``.

    The mean is that of the nearest of a pixel's 256 values.
    """
    table = _poisson(photons)
    values = (scene.images * 255).round().clamp(0, 255).cpu().numpy().astype(np.int64)
    # Row v of the table lies between v and v + 1, so that one search finds the quantile of each value's own law.
    numbers = values + scene.uniform("photons", *scene.images.shape[1:]).numpy()
    counts = np.searchsorted(table.ravel(), numbers, side="right") - values * table.shape[1]
    return torch.from_numpy(counts).to(scene.images) / photons


def impulse_noise(scene: Scene, share: float) -> Tensor:
    """A ``share`` of the values becomes 0 or 1, both as often."""
    numbers = scene.uniform("impulses", *scene.images.shape[1:]).to(scene.images.device)
    return torch.where(numbers < share / 2, 1.0, torch.where(numbers < share, 0.0, scene.images))


@cache
def _poisson(photons: int) -> NDArray[np.float64]:
    """P(count <= k) + v for a pixel of value v out of 256, (256, counts); the last count has all that is left."""
    values = np.arange(256)[:, None]
    most = photons + 10 * int(photons**0.5) + 20
    table: NDArray[np.float64] = special.pdtr(np.arange(most), values / 255 * photons) + values
    table[:, -1] = values[:, 0] + 1
    return table
