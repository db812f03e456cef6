"""A network small enough to be trained, pruned and attacked in a test."""

from collections.abc import Sequence

from torch import nn

from windfirm.errors import InputError
from windfirm.models.resnet import ResNet
from windfirm.prune.criteria.base import Scores, Subject, criterion
from windfirm.prune.structure import Structure


def tiny() -> ResNet:
    """A ResNet-8 with ten classes."""
    return ResNet(1)


def stated() -> ResNet:
    """The same, which says for which size of images it is made."""
    network = tiny()
    network.pretrained_cfg = {"input_size": (3, 8, 8), "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}  # type: ignore[assignment]
    return network


def bare() -> nn.Module:
    """A chain with ten classes that does not normalise its images."""
    body = [nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(4, 10))


def bare_stated() -> nn.Module:
    """The same, which says what images it wants, and how they are to be normalised."""
    network = bare()
    network.pretrained_cfg = {"input_size": (3, 8, 8), "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}  # type: ignore[assignment]
    return network


@criterion("undecided")
def undecided(subject: Subject, structures: Sequence[Structure], seed: int) -> Scores:
    """Scores nothing, and says so."""
    raise InputError("undecided: expected a mind, got none")
