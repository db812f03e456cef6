"""A square that hides a part of the image: at a random place (the tables' default), the worst of many, or of a grid."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from windfirm.attack.budget import Apply, Attack, Budget
from windfirm.errors import InputError, expected

Colour = Literal["black", "grey", "mean", "noise"]


def average(side: int, *, size: int | None = None, colour: Colour = "grey", trials: int = 10) -> Attack:
    """A square at a random place, wholly inside the image; half the side when ``size`` is None: 16×16 at 32×32."""
    size, apply = _anywhere("occlusion", side, size, colour)
    title = f"one {colour} {size}×{size} square at a random place, mean of {trials} draws"
    return Attack("occlusion", title, apply, trials, average=True, norm=None)


def search(side: int, *, size: int | None = None, colour: Colour = "grey", trials: int = 50) -> Attack:
    """The squares of ``average``, of which the worst counts: what a random search for the weakest place finds."""
    size, apply = _anywhere("occlusion-search", side, size, colour)
    title = f"one {colour} {size}×{size} square, worst of {trials} random places"
    return Attack("occlusion-search", title, apply, trials, average=False, norm=None)


def worst(side: int, *, size: int | None = None, stride: int | None = None, colour: Colour = "grey") -> Attack:
    """A square at each place of a grid; a quarter of the side, an eighth apart when None: 8×8 every 4 at 32×32.

    The last row and column of the grid lie at the edge of the image, at whatever distance from those before.
    """
    size = max(side // 4, 1) if size is None else size
    stride = max(side // 8, 1) if stride is None else stride
    _check("occlusion-worst", side, size, colour)
    if stride < 1:
        raise InputError(expected("occlusion-worst", "a stride of at least 1", stride))
    places = [*range(0, side - size, stride), side - size]

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        height, width = images.shape[-2:]
        if (height, width) != (side, side):
            raise InputError(expected("occlusion-worst", f"images of {side}×{side}", f"{height}×{width}"))
        row, column = divmod(budget.trial, len(places))
        top, left = (torch.full((len(images),), places[i]) for i in (row, column))
        return cover(images, top, left, size, _fill(images, colour, budget))

    trials = len(places) ** 2
    title = f"one {colour} {size}×{size} square, worst of {trials} places {stride} pixels apart"
    return Attack("occlusion-worst", title, apply, trials, average=False, norm=None)


def _anywhere(name: str, side: int, size: int | None, colour: Colour) -> tuple[int, Apply]:
    """The size, and what puts a square of it at a place drawn for each image and trial."""
    size = max(side // 2, 1) if size is None else size
    _check(name, side, size, colour)

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        height, width = images.shape[-2:]
        if size > min(height, width):
            raise InputError(expected(name, f"images of at least {size}×{size}", f"{height}×{width}"))
        numbers = budget.draw(images, 2, "occlusion")
        top, left = (numbers * torch.tensor([height - size + 1, width - size + 1])).long().unbind(1)
        return cover(images, top, left, size, _fill(images, colour, budget))

    return size, apply


def cover(images: Tensor, top: Tensor, left: Tensor, size: int | Tensor, fill: Tensor) -> Tensor:
    """``images`` (b, c, h, w) with ``fill``, broadcast to them, in squares with corners at ``top``, ``left`` (b,).

    ``size``: of all squares, or of each (b,).
    """
    height, width = images.shape[-2:]
    size = size[:, None] if isinstance(size, Tensor) else size
    rows = torch.arange(height, device=top.device) - top[:, None]
    columns = torch.arange(width, device=left.device) - left[:, None]
    inside = ((rows >= 0) & (rows < size))[:, None, :, None] & ((columns >= 0) & (columns < size))[:, None, None, :]
    return torch.where(inside.to(images.device), fill, images)


def _fill(images: Tensor, colour: Colour, budget: Budget) -> Tensor:
    if colour == "mean":
        return images.mean((2, 3), keepdim=True)
    if colour == "noise":
        return budget.draw(images, images[0].numel(), "occlusion noise").to(images).view(images.shape)
    return images.new_tensor(0.0 if colour == "black" else 0.5)


def _check(name: str, side: int, size: int, colour: str) -> None:
    if not 0 <= size <= side:
        raise InputError(expected(name, f"a size in [0, {side}]", size))
    if colour not in get_args(Colour):
        raise InputError(expected(name, f"a colour out of {', '.join(get_args(Colour))}", colour))
