"""What a training step makes small: a loss of the network on a batch. Defences and teachers plug in here.

The training loop knows nothing of an objective but how to call it. One that transforms the batch first is made by
``mixed`` from the transform.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windfirm.adjust.resume import as_json
from windfirm.errors import InputError, expected
from windfirm.models.asking import returned

#: (network, images (b, c, h, w) in [0, 1] on its device, labels (b,), a CPU generator) → the mean loss, and the logits
#: (b, classes) by which the epoch's accuracy is told. Called under autocast; losses are taken of float32 logits.
Loss = Callable[[nn.Module, Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]

#: (images, labels, generator) → images, each image's second label (b,), and the share of the second labels; see mixed.
Mix = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor, float]]


@dataclass(frozen=True)
class Objective:
    """A loss with the name and the numbers that a record needs to repeat it.

    ``once``: it calls the network once, with images that ask for no gradient; ``kept``: and once more, with
    statistics_kept. A GPU then replays the network as CUDA graphs. ``labelled``: each label is that of a logit, as it
    also is where the network is called ``once``. Raises InputError for options that no record can hold.
    """

    name: str
    loss: Loss
    options: Mapping[str, float | int | str] = field(default_factory=dict)
    once: bool = False
    kept: bool = False
    labelled: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", as_json(f"objective {self.name}", dict(self.options)))

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The mean loss, and the logits. Raises InputError for a ``loss`` that returns anything but two tensors."""
        match self.loss(model, images, labels, generator):
            case (Tensor() as value, Tensor() as logits):
                return value, logits
            case other:
                raise InputError(expected(f"objective {self.name}", "a loss and the logits", type(other).__name__))


def cross_entropy(
    model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy with the labels. Raises InputError for a network that returns more than logits."""
    logits = logits_of(model, images)
    return F.cross_entropy(logits, labels), logits


def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """The float32 logits (b, classes) of ``images``. Raises InputError for a network that returns more than those."""
    logits = model(images)
    if not isinstance(logits, Tensor):
        raise InputError(expected("model", "logits alone in training as well", returned(logits)))
    return logits.float()


def mixed(mix: Mix) -> Loss:
    """The cross-entropy after a transform that gives each image two labels: 1 − share of its own, share of the other.

    Where the transform changes images alone it gives the labels back, with a share of 0. With that share the loss is
    the plain one, bit for bit.
    """

    def loss(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        images, other, share = mix(images, labels, generator)
        value, logits = cross_entropy(model, images, labels, generator)
        if share:
            value = (1 - share) * value + share * F.cross_entropy(logits, other)
        return value, logits

    return loss


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """How far each image is from its label: the logsumexp of the other classes' logits minus the true one, (b,).

    The cross-entropy is log(1 + exp(margin)), so that its gradient is the margin's times a positive number. The
    margin's does not round to nothing where a network is sure of itself, as softmax minus one does: attacks climb it.
    """
    true = labels[:, None]
    others = logits.scatter(1, true, -torch.inf).logsumexp(1)
    return others - logits.gather(1, true)[:, 0]


PLAIN = Objective("plain", cross_entropy, once=True)
