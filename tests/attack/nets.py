"""Networks and images that the tests of iterative attacks share."""

import torch
from torch import Tensor, nn

from tests.oracles import linear_binary


def middling(count: int, side: int = 4) -> Tensor:
    """Images with values in [0.3, 0.7], which no small change leads out of [0, 1]: (count, 3, side, side) float64."""
    generator = torch.Generator().manual_seed(2)
    return 0.3 + 0.4 * torch.rand(count, 3, side, side, generator=generator, dtype=torch.float64)


def linear(images: Tensor) -> tuple[nn.Module, Tensor, float]:
    """A linear network of two classes, about as many of ``images`` in one as in the other; its weights and bias."""
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(images.shape[1:], generator=generator, dtype=torch.float64)
    bias = -float((images * weights).sum((1, 2, 3)).median())
    return linear_binary(weights, bias), weights, bias


def linear_classes(classes: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A linear network of several classes for images of 4×4 in float64; its weights (classes, 48) and its biases."""
    torch.manual_seed(3)
    layer = nn.Linear(48, classes).double().requires_grad_(False)
    layer.bias.copy_(-layer.weight.sum(1) / 2)  # grey is on every border
    return nn.Sequential(nn.Flatten(), layer), layer.weight, layer.bias


def curved(classes: int = 5) -> nn.Module:
    """A small smooth network for images of 4×4 in float64, which tells ``middling`` images apart by a hair."""
    torch.manual_seed(0)
    last = nn.Linear(16, classes)
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 16), nn.Tanh(), last).double()
    with torch.no_grad():
        last.bias.sub_(network(middling(60)).mean(0))
    return network


class Watched(nn.Module):
    """Says how many images were looked at, call by call."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.counts: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.counts.append(len(x))
        logits: Tensor = self.network(x)
        return logits
