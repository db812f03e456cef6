"""The ball of allowed changes: the way back into it, a random point of it, and the steepest step inside."""

import torch
from torch import Tensor

from windfirm.attack.budget import Budget, Norm


def project(changed: Tensor, images: Tensor, eps: float, norm: Norm) -> Tensor:
    """``changed`` (b, c, h, w) brought to within ``eps`` of ``images`` and into [0, 1].

    For l2 a change that is too long is shortened and then clipped, which only shortens it further: the result is
    inside, though it need not be the nearest point that is (as in Croce & Hein, ICML 2020).
    """
    if norm == "linf":
        return changed.clamp((images - eps).clamp(min=0), (images + eps).clamp(max=1))
    change = changed - images
    return (images + change * (eps / lengths(change)).clamp(max=1)).clamp(0, 1)


def random_point(images: Tensor, budget: Budget, norm: Norm, purpose: str) -> Tensor:
    """A point of the ball of ``budget.eps`` around each of ``images`` (b, c, h, w), all alike likely, then clipped."""
    size = images[0].numel()
    numbers = budget.draw(images, size + 1, purpose)
    if norm == "linf":
        change = 2 * numbers[:, :size] - 1
    else:
        normal = torch.special.ndtri(numbers[:, :size].clamp(min=2.0**-54))
        change = normal / normal.norm(dim=1, keepdim=True) * numbers[:, size:] ** (1 / size)
    return project(images + budget.eps * change.to(images).view_as(images), images, budget.eps, norm)


def steepest(gradient: Tensor, norm: Norm) -> Tensor:
    """The change of size 1 along which a loss with this ``gradient`` (b, c, h, w) grows most.

    It is 0 where the gradient is 0 or no number.
    """
    if norm == "linf":
        return gradient.sign()
    gradient = gradient.nan_to_num()
    return gradient / lengths(gradient)


def length(change: Tensor, norm: Norm) -> Tensor:
    """How long each change (..., c, h, w) is in ``norm``: (...)."""
    if norm == "linf":
        return change.abs().amax((-3, -2, -1))
    # In float64, as squares of a small gradient would be nothing in float32.
    exact: Tensor = torch.linalg.vector_norm(change, 2, (-3, -2, -1), dtype=torch.float64)
    return exact.to(change.dtype)


def lengths(change: Tensor) -> Tensor:
    """The length of each image's change, (b, 1, 1, 1); above 0, so that one may divide by it."""
    return length(change, "l2").clamp(min=torch.finfo(change.dtype).tiny)[:, None, None, None]
