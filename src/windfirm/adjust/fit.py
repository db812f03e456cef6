"""Whether a network and training images belong together, before time is spent on them."""

from contextlib import suppress

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.data.augment import to_float
from windfirm.data.images import Images
from windfirm.errors import CutError, InputError, expected
from windfirm.models.asking import taking
from windfirm.models.copies import copied
from windfirm.models.layout import suit
from windfirm.models.mode import mode


def check_trainable(model: nn.Module) -> None:
    """Raise InputError for a network all of whose parameters are frozen."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(expected("model", "a parameter to train", "none that asks for a gradient (requires_grad)"))


def fits(model: nn.Module, images: Tensor, most: int) -> bool:
    """Whether ``model`` takes ``images`` (b, c, h, w) channels-last. A copy of it is asked, if it can be copied.

    Raises InputError where none of its logits stands for ``most``, the largest label.
    """
    with suppress(CutError):
        model = copied(model)
    last = suit(model, images, torch.channels_last)
    with mode(model, training=False), seeds.default_stream(0, "fit"), torch.no_grad():
        try:
            outputs = model(images if last else images.contiguous())
        except Exception:  # what it does not take, its training tells
            return last
    _check_width(outputs, most)
    return last


def check_fit(model: nn.Module, images: Images, device: torch.device) -> None:
    """Raise InputError for images that ``model`` does not take, and labels that none of its logits stands for.

    A copy of it is asked once; of what cannot be copied nothing is known here. What has other outputs than logits
    (n, classes) is left to the objective.
    """
    some = to_float(images.images[:2].to(device))
    if not len(some):
        return
    try:
        network = copied(model)
    except CutError:
        return
    with taking(some.shape), seeds.default_stream(0, "fit"), torch.no_grad():
        outputs = network.to(device).train()(some.contiguous())
    _check_width(outputs, int(images.labels.max()))


def _check_width(outputs: object, most: int) -> None:
    if isinstance(outputs, Tensor) and outputs.ndim == 2 and outputs.shape[1] <= most:
        wanted = f"labels below {outputs.shape[1]}, the number of the network's outputs"
        raise InputError(expected("training data", wanted, most))
