"""Linear networks whose distances are known, and a network that counts how often it is asked."""

import torch
from torch import Tensor, nn


def linear(classes: int, side: int = 4, seed: int = 3) -> tuple[nn.Module, Tensor, Tensor]:
    """A linear network of random weights in float64, its weights (classes, 3·side·side) and its biases."""
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(3 * side * side, classes).double()
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator, dtype=torch.float64))
        layer.bias.copy_(-layer.weight.sum(1) / 2)  # grey is on every border
    model = nn.Sequential(nn.Flatten(), layer).requires_grad_(False)
    return model, layer.weight, layer.bias


def grey(count: int, side: int = 4, width: float = 0.2) -> Tensor:
    """Random images around grey, so far from the ends of the box that short changes do not meet them."""
    generator = torch.Generator().manual_seed(4)
    return 0.5 + width * (torch.rand(count, 3, side, side, generator=generator, dtype=torch.float64) - 0.5)


class Asked(nn.Module):
    """The network within, and in ``rows`` how many images each call showed it."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.rows: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.rows.append(len(x))
        result: Tensor = self.inner(x)
        return result
