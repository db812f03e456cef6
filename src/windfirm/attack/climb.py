"""What every iterative attack does at a point: ask the network what it says there, and which way is up."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from windfirm.adjust.signs import differentiable
from windfirm.attack.pieces import pieces

#: ``(logits (b, classes), labels (b,), ...) -> (b,)``: what is climbed; further arguments (b,) as the attack says.
Loss = Callable[..., Tensor]


class Look(NamedTuple):
    """Of b images: where the network is ``wrong`` (b,), the ``loss`` (b,) and its ``gradient`` (b, c, h, w).

    The gradient of images on which the network is wrong is not of use: it is 0 where nobody needs a gradient.
    """

    wrong: Tensor
    loss: Tensor
    gradient: Tensor


def look(
    name: str, model: nn.Module, images: Tensor, aims: Tensor, loss: Loss, batch: int | None, *, glance: bool = False
) -> Look:
    """What ``model`` makes of ``images`` (b, c, h, w), at most ``batch`` of them at a time.

    ``aims`` (b, k): the labels, and in further columns what else ``loss`` asks for. With ``glance`` a look without
    gradients comes first, and those that are wrong have no other: cheaper where they are many. Raises what
    differentiable raises.
    """
    see = partial(_glance if glance else _look, name, model, loss)
    at = Look(*pieces(see, batch, images, aims))
    left = ~at.wrong
    if glance and left.any():
        at.gradient[left] = look(name, model, images[left], aims[left], loss, batch).gradient
    return at


def _look(name: str, model: nn.Module, loss: Loss, images: Tensor, aims: Tensor) -> Look:
    with torch.enable_grad():
        images, logits = differentiable(name, model, images)
        values = loss(logits, *aims.unbind(1))
        wrong = logits.detach().argmax(1) != aims[:, 0]
        # The sum, not the mean: an image's gradient is then its own, whatever the batch.
        gradient = torch.zeros_like(images) if wrong.all() else torch.autograd.grad(values.sum(), images)[0]
    return Look(wrong, values.detach(), gradient.detach())


@torch.no_grad()
def _glance(name: str, model: nn.Module, loss: Loss, images: Tensor, aims: Tensor) -> Look:
    logits = model(images.contiguous(memory_format=torch.channels_last))
    return Look(logits.argmax(1) != aims[:, 0], loss(logits, *aims.unbind(1)), torch.zeros_like(images))


def mostly(loss: Tensor, gradient: Tensor, change: Tensor) -> bool:
    """Whether ``change`` (b, c, h, w), as far as the gradient tells, fools the network on more than half of the images.

    Where a ``loss`` (b,) is above 0 the network is wrong, or nearly.
    """
    return bool((loss + (gradient * change).flatten(1).sum(1) > 0).float().mean() > 0.5)


T = TypeVar("T", bound=tuple[Tensor, ...])


def pack(state: T, rows: Tensor) -> T:
    """The same named tuple of tensors, each with only its ``rows`` (indices, or a mask)."""
    return type(state)(*(tensor[rows] for tensor in state))
