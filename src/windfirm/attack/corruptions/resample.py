"""Blurs and changes of place for images (b, c, h, w), each image by itself whatever the batch.

Sums run over shifted images in a fixed order, so that an image's result does not depend on its neighbours in a batch to
the last bit, as it would with a convolution whose algorithm is chosen by size.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

#: What lies before an image a b c …: ``nearest`` … a a a, ``edge`` … c b a, ``mirror`` … d c b.
Border = Literal["nearest", "edge", "mirror"]


def extend(images: Tensor, down: int, right: int, border: Border) -> Tensor:
    """``images`` with ``down`` more rows above and below and ``right`` more columns on both sides."""
    height, width = images.shape[-2:]
    rows, columns = (
        _inside(torch.arange(-more, size + more, device=images.device), size, border)
        for more, size in ((down, height), (right, width))
    )
    return images[..., rows, :][..., columns]


def _inside(places: Tensor, size: int, border: Border) -> Tensor:
    if border == "nearest" or size == 1:
        return places.clamp(0, size - 1)
    if border == "edge":
        there = places % (2 * size)
        return torch.minimum(there, 2 * size - 1 - there)
    there = places % (2 * size - 2)
    return torch.minimum(there, 2 * size - 2 - there)


def correlate(images: Tensor, kernel: Tensor, border: Border) -> Tensor:
    """The correlation with ``kernel`` (odd height, odd width) on the CPU, same shape as ``images``."""
    height, width = images.shape[-2:]
    padded = extend(images, kernel.shape[0] // 2, kernel.shape[1] // 2, border)
    total = torch.zeros_like(images)
    for i, j in kernel.nonzero().tolist():
        total += kernel[i, j].item() * padded[..., i : i + height, j : j + width]
    return total


def gaussian(sigma: float, radius: int) -> Tensor:
    """Weights (2 radius + 1,) of a normal density, which add up to 1."""
    steps = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (steps / sigma) ** 2)
    return weights / weights.sum()


def blur(images: Tensor, sigma: float, truncate: float = 4.0, border: Border = "nearest") -> Tensor:
    """A Gaussian blur with a standard deviation of ``sigma`` pixels, cut off at ``truncate`` of them."""
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return images
    weights = gaussian(sigma, radius)
    return correlate(correlate(images, weights[:, None], border), weights[None], border)


def motion(images: Tensor, radius: int, sigma: float, angle: Tensor) -> Tensor:
    """A one-sided Gaussian blur along ``angle`` (b,) in degrees, as ImageMagick's MotionBlurImage does it.

    2 radius + 1 pixels on the way, rounded to whole places, are averaged with weights of a half normal density.
    """
    height, width = images.shape[-2:]
    half = gaussian(sigma, 2 * radius)[2 * radius :]
    weights = (half / half.sum()).tolist()
    radians = torch.deg2rad(angle.double())
    taps = torch.arange(2 * radius + 1)
    right, down = ((taps * way[:, None] - 0.5).ceil().long() for way in (radians.cos(), radians.sin()))
    rows = (torch.arange(height) + down.T[:, :, None]).clamp(0, height - 1).to(images.device)
    columns = (torch.arange(width) + right.T[:, :, None]).clamp(0, width - 1).to(images.device)
    each = torch.arange(len(images), device=images.device)[:, None, None]
    pixels = images.permute(0, 2, 3, 1)
    total = torch.zeros_like(pixels)
    for weight, row, column in zip(weights, rows, columns, strict=True):
        total += weight * pixels[each, row[:, :, None], column[:, None, :]]
    return total.permute(0, 3, 1, 2)


def zoom(images: Tensor, factor: float) -> Tensor:
    """The middle of ``images``, ``factor`` >= 1 times as large, by linear interpolation; same shape.

    A part of ceil(size / factor) pixels is spread over round(part · factor), of which the middle is kept.
    """
    for axis in (-2, -1):
        size = images.shape[axis]
        part = math.ceil(size / factor)
        grown = round(part * factor)
        places = torch.arange(size, dtype=torch.float64) + (grown - size) // 2
        places = (size - part) // 2 + places * ((part - 1) / max(grown - 1, 1))
        low = places.floor().long().clamp(max=size - 1)
        share = (places - low).to(images)
        low = low.to(images.device)
        above = images.index_select(axis, (low + 1).clamp(max=size - 1))
        share = share[:, None] if axis == -2 else share
        images = images.index_select(axis, low) * (1 - share) + above * share
    return images


def sample(images: Tensor, rows: Tensor, columns: Tensor, border: Literal["edge", "mirror"]) -> Tensor:
    """``images`` at fractional ``rows`` and ``columns`` (b, h, w), by linear interpolation."""
    sharp = border == "mirror"
    axes = [
        2 * places / (size - 1) - 1 if sharp else (2 * places + 1) / size - 1
        for places, size in zip((columns, rows), (images.shape[-1], images.shape[-2]), strict=True)
    ]
    grid = torch.stack(axes, -1).to(images)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=sharp)
