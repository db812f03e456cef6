"""Which way an image's loss goes up: along it attacks step, and the probe of a training.

The sign of the gradient is that of Goodfellow, Shlens & Szegedy (ICLR 2015, section 4).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from windfirm.adjust.objective import margin
from windfirm.errors import InputError, expected


def step(images: Tensor, signs: Tensor, eps: float) -> Tensor:
    """``images + eps * signs`` (b, c, h, w), clipped to [0, 1]."""
    return (images + eps * signs).clamp(0, 1)


def direction(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The sign of the gradient of the cross-entropy with respect to ``images``: (b, c, h, w) of -1, 0, 1.

    The network's parameters are left alone: no gradients are asked for and none are kept. The gradient taken is that of
    the margin: it has the same sign, and does not round to nothing in float32 where a network is sure of itself. Raises
    what differentiable raises.
    """
    with torch.enable_grad():
        return uphill(*differentiable("fgsm", model, images), labels)


def uphill(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """What direction returns, where ``images`` and ``logits`` (b, classes) are there already, by differentiable."""
    # The sum, not the mean: an image's gradient is then its own, whatever the batch.
    (gradient,) = torch.autograd.grad(margin(logits, labels).sum(), images)
    return gradient.sign()


def differentiable(name: str, model: Callable[[Tensor], Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """``images`` again, asking for a gradient, and the logits (b, classes) that ``model`` gives them.

    Raises InputError, which starts with ``name``, when the logits do not depend on the images in a way that can be
    differentiated.
    """
    images = images.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    logits = model(images)
    if not logits.requires_grad:
        raise InputError(expected(name, "a network with a gradient from its outputs to its images", "none"))
    return images, logits
