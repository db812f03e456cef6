"""Whether a network and training images belong together, before time is spent on them."""

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.data.augment import to_float
from windfirm.errors import CutError, InputError, expected
from windfirm.models.asking import taking
from windfirm.models.copies import copied
from windfirm.models.layout import filters, suit, takes
from windfirm.models.mode import switched


def check_trainable(model: nn.Module) -> None:
    """Raise InputError for a network all of whose parameters are frozen, or that was made in inference mode."""
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise InputError(
            expected("model", "parameters that can be trained", "those of a network made in inference mode")
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(expected("model", "a parameter to train", "none that asks for a gradient (requires_grad)"))


def takes_last(model: nn.Module, images: Tensor) -> bool:
    """Whether ``model`` takes ``images`` (b, c, h, w) channels-last, in training as well; or in no layout at all.

    A copy of it is asked; what cannot be copied is asked itself, in eval mode alone.
    """
    try:
        network = copied(model)
    except CutError:
        return suit(model, images, torch.channels_last)
    if not suit(network, images, torch.channels_last):
        return False
    if takes(network, images, training=True):
        return True
    filters(network, torch.contiguous_format)
    return not takes(network, images, torch.contiguous_format, training=True)


def check_fit(model: nn.Module, images: Tensor, labels: Tensor, device: torch.device) -> None:
    """Raise InputError for images that ``model`` does not take, and ``labels`` (n,) that no logit of it stands for.

    A copy of it is asked for the first two of ``images`` (n, c, h, w) uint8; of what cannot be copied nothing is known
    here. What has other outputs than logits (n, classes) is left to the objective.
    """
    some = to_float(images[:2].to(device))
    if not len(some):
        return
    try:
        network = copied(model)
    except CutError:
        return
    with taking(some.shape), seeds.default_stream(0, "fit"), torch.no_grad():
        outputs = switched(network.to(device), training=True)(some.contiguous())
    most = int(labels.max())
    if isinstance(outputs, Tensor) and outputs.ndim == 2 and outputs.shape[1] <= most:
        wanted = f"labels below {outputs.shape[1]}, the number of the network's outputs"
        raise InputError(expected("training data", wanted, most))
