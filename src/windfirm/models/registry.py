"""The built-in networks by name."""

from collections.abc import Callable

from torch import nn

from windfirm.errors import InputError, expected, nearest
from windfirm.models.mobilenet import mobilenet_v2
from windfirm.models.resnet import resnet20, resnet32, resnet44, resnet56, resnet110
from windfirm.models.vgg import vgg16_bn

#: Name to factory; every factory takes the number of classes (10) and returns a network with fresh weights.
ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "resnet20": resnet20,
    "resnet32": resnet32,
    "resnet44": resnet44,
    "resnet56": resnet56,
    "resnet110": resnet110,
    "mobilenet-v2": mobilenet_v2,
    "vgg16-bn": vgg16_bn,
}


def build(arch: str, classes: int = 10) -> nn.Module:
    """A fresh network ``(b, 3, 32, 32)`` in [0, 1] to logits ``(b, classes)``; weights from torch's default generator.

    Raises InputError for an unknown name, with the nearest known one, and for less than one class.
    """
    if arch not in ARCHITECTURES:
        hint = nearest(arch, ARCHITECTURES)
        raise InputError(expected("architecture", f"one of {', '.join(ARCHITECTURES)}", f"{arch!r}{hint}"))
    if classes < 1:
        raise InputError(expected(arch, "at least 1 class", classes))
    return ARCHITECTURES[arch](classes=classes)
