"""What a training step makes small: a loss of the network on a batch. Defences and teachers plug in here.

The training loop knows nothing of an objective but how to call it. One that transforms the batch first is made by
``mixed`` from the transform.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: (network, images (b, c, h, w) in [0, 1] on its device, labels (b,), a CPU generator) → the mean loss, and the logits
#: (b, classes) by which the epoch's accuracy is told. Called under autocast; losses are taken of float32 logits.
Loss = Callable[[nn.Module, Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]

#: (images, labels, generator) → images, and each image's second label and its share, (b,) each; see mixed.
Mix = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Objective:
    """A loss with the name and the numbers that a record needs to repeat it."""

    name: str
    loss: Loss
    options: Mapping[str, float | int | str] = field(default_factory=dict)


def cross_entropy(
    model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy with the labels."""
    logits = model(images).float()
    return F.cross_entropy(logits, labels), logits


def mixed(mix: Mix) -> Loss:
    """The cross-entropy after a transform that gives each image two labels: 1 − share of its own, share of the other.

    Where the transform changes images alone it gives the labels back, with a share of 0.
    """

    def loss(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        images, other, share = mix(images, labels, generator)
        logits = model(images).float()
        first = F.cross_entropy(logits, labels, reduction="none")
        second = F.cross_entropy(logits, other, reduction="none")
        return ((1 - share) * first + share * second).mean(), logits

    return loss


PLAIN = Objective("plain", cross_entropy)
