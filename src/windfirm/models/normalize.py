"""Normalisation as the first layer, so that every caller of a network stays in [0, 1]."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from windfirm.models.device import type_of

#: Per-channel mean and standard deviation of the 50,000 CIFAR-10 training images, in [0, 1] units.
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)

#: Those by which networks for ImageNet are normalised by custom.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


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


class Normalized(nn.Module):
    """``network`` with its normalisation before it: takes what ``network`` takes, but in [0, 1]."""

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.normalize = Normalize(mean, std)
        self.network = network
        self.values = tuple(mean), tuple(std)

    def forward(self, x: Tensor) -> Tensor:
        outputs: Tensor = self.network(self.normalize(x).to(type_of(self.network)))  # which may be in half precision
        return outputs


def taken_apart(model: nn.Module) -> tuple[nn.Module, Callable[[nn.Module], nn.Module]]:
    """The network without the normalisation that was put before it, and what puts the same before another network."""
    if not isinstance(model, Normalized):
        return model, lambda network: network
    return model.network, lambda network: Normalized(network, *model.values)


def normalizes(model: nn.Module) -> bool:
    """Whether ``model`` has a Normalize among its layers, so that it takes images in [0, 1]."""
    return any(isinstance(module, Normalize) for module in model.modules())
