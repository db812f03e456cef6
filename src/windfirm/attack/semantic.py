"""Changes that leave the meaning of an image alone: its colours turned, or the whole image moved.

Three kinds, because the poster does not say which it means: ``hue`` (the tables' default), ``shift`` and ``search``.
A fourth, ``grid``, draws nothing at random: it tries every pair of a hue and a saturation.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windfirm.attack.budget import Attack, Budget
from windfirm.attack.colour import hsv_to_rgb, rgb_to_hsv
from windfirm.errors import InputError, expected


def hue(side: int, *, turn: float = 1.0, trials: int = 10) -> Attack:
    """One random hue shift per image and trial, uniform over an arc ``turn`` wide; saturation and value stay."""
    if not 0 <= turn <= 1:
        raise InputError(expected("semantic", "a turn in [0, 1]", turn))

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        return recolour("semantic", images, turn * (budget.draw(images, 1, "semantic") - 0.5))

    width = "a full turn" if turn == 1 else f"{turn:g} of a turn"
    title = f"one random hue shift {width} wide, mean of {trials} draws"
    return Attack("semantic", title, apply, trials, average=True, norm=None)


def shift(side: int, *, pixels: int | None = None, trials: int = 10) -> Attack:
    """A random move by up to ``pixels`` along each axis (an eighth of the side when None: 4 at 32), zero filled."""
    reach = min(max(side // 8, 1), side - 1) if pixels is None else pixels
    if not 0 <= reach < side:
        raise InputError(expected("semantic-shift", f"pixels in [0, {side})", reach))

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        height, width = images.shape[-2:]
        places = budget.draw(images, 2, "semantic-shift") * (2 * reach + 1)
        top, left = places.long().to(images.device).unbind(1)
        windows = F.pad(images, (reach,) * 4).unfold(2, height, 1).unfold(3, width, 1)
        return windows[torch.arange(len(images), device=images.device), :, top, left]

    title = f"one random translation by up to {reach} pixels, zero filled, mean of {trials} draws"
    return Attack("semantic-shift", title, apply, trials, average=True, norm=None)


def search(side: int, *, trials: int = 1000) -> Attack:
    """Random hues with ever wilder saturations until one fools the network (Hosseini & Poovendran, CVPRW 2018).

    Trial i of T turns the hue by U(0, 1) and adds U(-1, 1)·i/T to the saturation. So T sets the strength as well as the
    number of tries: the first 200 trials of 1000 are weaker than 200 of 200.
    """

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        numbers = budget.draw(images, 2, "semantic-search")
        more = (2 * numbers[:, 1:] - 1) * budget.trial / trials
        return recolour("semantic-search", images, numbers[:, :1], more)

    title = f"random hue and growing saturation shifts, worst of {trials} trials"
    return Attack("semantic-search", title, apply, trials, average=False, norm=None)


def grid(side: int, *, hues: int = 12, saturations: int = 5, reach: float = 0.5) -> Attack:
    """Every pair of a hue and a saturation: ``hues`` around the circle, ``saturations`` from -reach to +reach added.

    An odd number of saturations has 0 in its middle, where the first hue leaves the image as it is.
    """
    if hues < 1 or saturations < 1:
        raise InputError(expected("semantic-grid", "at least one hue and one saturation", f"{hues} and {saturations}"))
    if not 0 <= reach <= 1:
        raise InputError(expected("semantic-grid", "a reach in [0, 1]", reach))
    shifts = torch.linspace(-reach, reach, saturations) if saturations > 1 else torch.zeros(1)

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        turn, more = divmod(budget.trial, saturations)
        column = images.new_ones(len(images), 1)
        return recolour("semantic-grid", images, turn / hues * column, shifts[more].item() * column)

    title = f"worst of {hues} hues × {saturations} saturations up to ±{reach:g}"
    return Attack("semantic-grid", title, apply, trials=hues * saturations, average=False, norm=None)


def recolour(name: str, images: Tensor, turn: Tensor, saturation: Tensor | None = None) -> Tensor:
    """RGB ``images`` (b, 3, h, w) with hues turned by ``turn`` (b, 1) full turns and ``saturation`` (b, 1) added.

    Saturation is clipped to [0, 1]; value, the largest of R, G and B, stays. ``name`` is that of the attack.
    """
    hues, saturations, values = rgb_to_hsv(images, name).unbind(1)
    hues = hues + turn.to(images)[:, :, None]
    if saturation is not None:
        saturations = (saturations + saturation.to(images)[:, :, None]).clamp(0, 1)
    return hsv_to_rgb(torch.stack((hues, saturations, values), 1))
