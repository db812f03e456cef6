"""Scenes for corruptions to be tried on."""

import torch
from torch import Tensor

from windfirm.attack import Budget
from windfirm.attack.corruptions import KINDS
from windfirm.attack.corruptions.scene import Scene


def random_images(count: int = 3, height: int = 32, width: int = 32) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def smooth_images(count: int = 3, side: int = 32) -> Tensor:
    """Soft blobs, as photographs have them; neighbouring values are close."""
    coarse = random_images(count, side // 4, side // 4)
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)


def scene(images: Tensor, kind: str = "test", scale: float = 1.0) -> Scene:
    return Scene(images, scale, kind, Budget(seed=3))


def painted(kind: str, severity: int, images: Tensor) -> Tensor:
    """What the corruption makes of images at 32×32, before values outside [0, 1] are cut."""
    corruption = KINDS[kind]
    return corruption.paint(scene(images, kind), *corruption.levels[severity - 1])
