"""Normalisation as the first layer, so that every caller of a network stays in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

#: Per-channel mean and standard deviation of the 50,000 CIFAR-10 training images, in [0, 1] units.
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)


class Normalize(nn.Module):
    """``(x - mean) / std`` per channel.

    Shape: ``(b, c, h, w)`` in [0, 1] to ``(b, c, h, w)``, about zero mean and unit variance.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = CIFAR10_MEAN, std: Sequence[float] = CIFAR10_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std
