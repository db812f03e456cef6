"""A small labelled set, a network that is exact in float32, and attacks for the evaluator to judge."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from windfirm.attack.budget import Apply, Attack, Budget
from windfirm.data.images import Images


class Counting(nn.Module):
    """Integer pixels times integer weights: sums that float32 holds exactly, whatever the batch."""

    weight: Tensor

    def __init__(self, side: int = 8, classes: int = 3) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.register_buffer("weight", torch.randint(-9, 10, (3 * side * side, classes), generator=generator).float())

    def forward(self, x: Tensor) -> Tensor:
        return (x * 255).round().flatten(1) @ self.weight


def small_network(side: int = 8, classes: int = 3) -> nn.Module:
    """A convolution, a batch normalisation with statistics of its own, and a classifier."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * (side - 2) ** 2, classes)
    )
    with torch.no_grad():
        network(torch.rand(32, 3, side, side))
    return network.eval()


def labelled(model: nn.Module, count: int = 40, side: int = 8, wrong: int = 8) -> Images:
    """Random images with the labels that ``model`` gives them, the first ``wrong`` of them shifted by one class."""
    generator = torch.Generator().manual_seed(6)
    pixels = torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)
    with torch.no_grad():
        logits = model(pixels / 255)
    labels, classes = logits.argmax(1), logits.shape[1]
    labels[:wrong] = (labels[:wrong] + 1) % classes
    return Images(pixels, labels, tuple("abcdefghij"[:classes]), "toy/test")


def make(apply: Apply, *, trials: int = 1, average: bool = False, norm: bool = False) -> Attack:
    """An attack of the test's own."""
    return Attack("toy", "a toy", apply, trials, average, "linf" if norm else None)


def nothing(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
    return images


def hungry(attack: Attack, room: int = 6) -> Attack:
    """The same for as many images as there is ``room`` for."""

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        if len(images) > room:
            raise torch.OutOfMemoryError
        return attack.apply(model, images, labels, budget)

    return replace(attack, apply=apply, packs=False)


class Large(nn.Module):
    """``network``, too large for more than ``room`` images at once."""

    def __init__(self, network: nn.Module, room: int = 6) -> None:
        super().__init__()
        self.network, self.room = network, room

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.room:
            raise torch.OutOfMemoryError
        logits: Tensor = self.network(x)
        return logits
