"""The network as the evaluator uses it: a copy of its own, and predictions that are checked."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from windfirm.data.augment import to_float
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.models.asking import returned, taking
from windfirm.models.copies import copied
from windfirm.models.device import in_float32
from windfirm.models.layout import arrange, layout
from windfirm.models.meta import require_data
from windfirm.models.mode import switched


def check_images(images: object) -> None:
    """Raise InputError for what is no Images, such as a tensor."""
    if not isinstance(images, Images):
        raise InputError(expected("images", "Images, or windfirm.attack for a tensor", type(images).__name__))


def private(model: nn.Module, device: torch.device | None, images: Tensor) -> nn.Module:
    """A float32 copy of ``model`` on ``device`` (the CPU when None), in evaluation mode, for ``images`` (n, c, h, w).

    Its parameters ask for no gradient, which saves memory. Whatever an attack does to it or raises, the network that it
    was copied from stays in the state it was in. It works on copies of its images, which it may change in place, and
    its logits are float32 whatever it computes in. ``images``, uint8, are like those that it will be shown. Raises
    CutError for a network that cannot be copied, InputError for one without data.
    """
    require_data(model)
    network = switched(copied(model), training=False).float().requires_grad_(False)
    network.to(device or torch.device("cpu"))
    network.register_forward_pre_hook(lambda _, args: (args[0].clone(), *args[1:]))
    network.register_forward_hook(lambda _, args, out: out.float() if isinstance(out, Tensor) else out)
    arrange(network, to_float(images[:2].to(device or torch.device("cpu"))), layout(device))
    return network


def classify(network: nn.Module, pixels: Tensor, images: Images) -> Tensor:
    """The predicted classes (b,) of ``pixels`` (b, c, h, w) out of the classes of ``images``; see outputs."""
    return outputs(network, pixels, images).argmax(1)


@contextmanager
def as_judged(device: torch.device) -> Iterator[None]:
    """Inside the block networks compute in float32, whatever the caller was told about rounding and autocast."""
    with in_float32(), torch.autocast(device.type, enabled=False):
        yield


def outputs(network: nn.Module, pixels: Tensor, images: Images) -> Tensor:
    """The logits (b, classes) of ``pixels`` (b, c, h, w), in float32 everywhere, however fast a search may round.

    Raises InputError when the network cannot take images of this size, or its outputs are not logits of shape
    (b, classes) for the classes of ``images``.
    """
    network.eval()  # an attack may have switched it
    with taking(pixels.shape), as_judged(pixels.device):
        logits = network(pixels.contiguous(memory_format=layout(pixels.device)))
    shape = (len(pixels), len(images.classes))
    if not isinstance(logits, Tensor) or logits.shape != shape:
        wanted = f"outputs of shape {shape} for the classes of {images.name}"
        raise InputError(expected("model", wanted, returned(logits)))
    if logits.isnan().any():
        raise InputError(expected("model", "outputs that are numbers", "NaN"))
    return logits
