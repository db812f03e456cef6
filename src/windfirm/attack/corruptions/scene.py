"""What a corruption works on: images, the scale of their lengths, and random numbers."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from windfirm.attack.budget import Budget


@dataclass(frozen=True, eq=False)
class Scene:
    """``images`` (b, 3, h, w) in [0, 1]; ``scale``: what a length of one pixel at 32×32 has become on them."""

    images: Tensor
    scale: float
    kind: str
    budget: Budget

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.images.shape[-2], self.images.shape[-1]

    def pixels(self, length: float) -> int:
        """A length at 32×32 in whole pixels of these images, at least one."""
        return max(1, round(length * self.scale))

    def uniform(self, what: str, *shape: int) -> Tensor:
        """Numbers in [0, 1), (b, *shape) float64 on the CPU; they are the same at every severity."""
        return self.budget.draw(self.images, math.prod(shape), f"{self.kind} {what}").view(-1, *shape)

    def normal(self, what: str, *shape: int) -> Tensor:
        """Standard normal numbers, (b, *shape), like the images."""
        middle = self.uniform(what, *shape) + 2.0**-54  # of each of the 2^53 cells, so that none is 0
        normal: Tensor = torch.special.ndtri(middle)
        return normal.to(self.images)
