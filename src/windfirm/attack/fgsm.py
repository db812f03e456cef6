"""The fast gradient sign method (Goodfellow, Shlens & Szegedy, ICLR 2015, section 4)."""

import torch
from torch import Tensor, nn

from windfirm.adjust.objective import margin
from windfirm.attack.budget import Attack, Budget
from windfirm.attack.climb import differentiable


def fgsm(side: int) -> Attack:
    """One step of size eps along the sign of the gradient."""

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        return step(images, direction(model, images, labels), budget.eps)

    title = "one step along the sign of the loss gradient, white-box, true labels"
    return Attack("fgsm", title, apply, trials=1, average=False, norm="linf")


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
        images, logits = differentiable("fgsm", model, images)
        # The sum, not the mean: an image's gradient is then its own, whatever the batch.
        (gradient,) = torch.autograd.grad(margin(logits, labels).sum(), images)
    return gradient.sign()
