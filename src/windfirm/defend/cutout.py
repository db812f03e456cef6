"""Cutout (DeVries & Taylor, 2017, arXiv:1708.04552): a square is blotted out of every image."""

import torch
from torch import Tensor

from windfirm.adjust.objective import Objective, mixed
from windfirm.errors import InputError, expected


def cutout(side: int, *, size: int | None = None, fill: float = 0.0) -> Objective:
    """The cross-entropy of images with a square of ``fill`` around a random place, clipped at the border.

    ``size``: the side of the square, half of the image's ``side`` when None: 16 at 32×32. ``fill`` is in [0, 1]; black
    by default. (The authors' code blots after normalisation, where zero is the mean colour, about 0.48 on CIFAR-10.)
    Raises InputError for values out of range.
    """
    size = side // 2 if size is None else size
    if not 0 <= size <= 2 * side:
        raise InputError(expected("cutout", f"a size in [0, {2 * side}]", size))
    if not 0 <= fill <= 1:
        raise InputError(expected("cutout", "a fill in [0, 1]", fill))

    def mix(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
        rows, columns = (torch.randint(length, (len(images),), generator=generator) for length in images.shape[-2:])
        return blot(images, rows, columns, size, fill), labels, 0.0

    return Objective("cutout", mixed(mix), {"size": size, "fill": fill}, once=True)


def blot(images: Tensor, rows: Tensor, columns: Tensor, size: int, fill: float) -> Tensor:
    """``images`` (b, c, h, w) with ``fill`` in each pixel of the square around (``rows``, ``columns``), (b,) each.

    A square of even size reaches ``size / 2`` pixels up and left of its place, and one less down and right.
    """

    def near(centres: Tensor, length: int) -> Tensor:
        offset = torch.arange(length, device=images.device) - centres.to(images.device)[:, None] + size // 2
        return (offset >= 0) & (offset < size)

    height, width = images.shape[-2:]
    square = near(rows, height)[:, None, :, None] & near(columns, width)[:, None, None, :]
    return images.clone().masked_fill_(square, fill)  # in place, as masked_fill would not stay channels-last
