"""Blurs: out of focus, through glass, in motion, zooming, and plain Gaussian."""

import numpy as np
import torch
from torch import Tensor

from windfirm.attack.corruptions.resample import blur, correlate, gaussian, motion, zoom
from windfirm.attack.corruptions.scene import Scene


def gaussian_blur(scene: Scene, sigma: float) -> Tensor:
    """A Gaussian blur."""
    return blur(scene.images, sigma * scene.scale)


def defocus_blur(scene: Scene, radius: float, alias: float) -> Tensor:
    """The mean over a disk of this ``radius`` whose edge a small Gaussian of deviation ``alias`` makes soft."""
    radius, soft = radius * scene.scale, scene.pixels(1)
    reach = int(radius) + 2 * soft  # a rim of zeros, so that no border comes into the kernel
    steps = torch.arange(-reach, reach + 1)
    disk = (steps[:, None] ** 2 + steps**2 <= radius**2).double()
    weights = gaussian(alias * scene.scale, soft)
    kernel = correlate((disk / disk.sum())[None, None], weights[:, None] * weights, "mirror")
    return correlate(scene.images, kernel[0, 0], "mirror")


def glass_blur(scene: Scene, sigma: float, reach: int, times: int) -> Tensor:
    """Each pixel inside takes the value of a random one near it, ``times`` over, between two Gaussian blurs.

    The script that made the official files means to swap two pixels, but copies one on the other: done here as it is.
    """
    images = blur(scene.images, sigma * scene.scale)
    (height, width), reach = scene.size, scene.pixels(reach)
    for time in range(times):
        moves = (scene.uniform(f"glass {time}", 2, height, width) * (2 * reach)).long() - reach
        rows, columns = torch.arange(height)[:, None], torch.arange(width)
        inside = (rows > reach) & (rows <= height - reach) & (columns > reach) & (columns <= width - reach)
        down, right = torch.where(inside, moves, 0).unbind(1)
        places = ((rows + down) * width + columns + right).to(images.device)
        flat = images.flatten(2)
        images = flat.gather(2, places.flatten(1)[:, None].expand_as(flat)).view_as(images)
    return blur(images, sigma * scene.scale)


def motion_blur(scene: Scene, radius: int, sigma: float) -> Tensor:
    """A blur along one direction within 45 degrees of the horizontal."""
    angle = 90 * scene.uniform("angle", 1)[:, 0] - 45
    return motion(scene.images, scene.pixels(radius), sigma * scene.scale, angle)


def zoom_blur(scene: Scene, largest: float) -> Tensor:
    """The mean of the image and its enlargements in steps of one hundredth."""
    factors = np.arange(1, largest, 0.01).tolist()
    total = scene.images.clone()
    for factor in factors:
        total += zoom(scene.images, factor)
    return total / (len(factors) + 1)
