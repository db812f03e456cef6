"""Tiny networks, and a way to see what an objective shows them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from windfirm.adjust.objective import Objective

CLASSES = 4


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 6, side: int = 8) -> tuple[Tensor, Tensor]:
    """Images in [0, 1], black and white among them, and their labels."""
    images = torch.rand(count, 3, side, side, generator=generator()).mul(1.4).sub(0.2).clamp(0, 1)
    return images, torch.arange(count) % CLASSES


def small() -> nn.Module:
    """A convolution with a normalisation whose running statistics are about a batch's, in training mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(20, 4)
        )


def linear(side: int = 8, scale: float = 1.0) -> nn.Module:
    """Two classes; the weights are known, and so is the direction in which each label is harmed most."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, 2))
    with torch.no_grad():
        model.get_parameter("1.weight").mul_(scale)
    return model


def harmful(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """For linear: the sign of the weights of the wrong class minus those of the right one, as images."""
    weight = model.get_parameter("1.weight").detach()
    return (weight[1 - labels] - weight[labels]).sign().view(images.shape)


def shown(
    objective: Objective, model: nn.Module, images: Tensor, labels: Tensor, seed: int = 0
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Loss, logits, and every batch that the model was shown on the way."""
    seen: list[Tensor] = []
    note: Callable[[nn.Module, tuple[Tensor]], None] = lambda module, inputs: seen.append(inputs[0].detach().clone())  # noqa: E731
    hook = model.register_forward_pre_hook(note)
    loss, logits = objective.loss(model, images, labels, generator(seed))
    hook.remove()
    return loss, logits, seen
