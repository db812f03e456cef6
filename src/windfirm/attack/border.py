"""The border between an image's class and another class, taken for a plane: what FAB and DeepFool step towards."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from windfirm.errors import InputError, expected

Norm = Literal["linf", "l2"]


def check_norm(attack: str, norm: str) -> None:
    """Raise InputError unless ``norm`` is one that changes are measured in."""
    if norm not in get_args(Norm):
        raise InputError(expected(attack, f"a norm out of {', '.join(get_args(Norm))}", norm))


def length(change: Tensor, norm: Norm) -> Tensor:
    """How long each change (..., c, h, w) is in ``norm``: (...)."""
    return change.abs().amax((-3, -2, -1)) if norm == "linf" else change.square().sum((-3, -2, -1)).sqrt()


def rivals(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """The ``count`` classes with the highest logits besides the label, the highest first: (b, count) or fewer."""
    others = logits.scatter(1, labels[:, None], -torch.inf).argsort(1, descending=True)
    return others[:, : min(count, logits.shape[1] - 1)]


def distances(ahead: Tensor, slopes: Tensor, norm: Norm) -> Tensor:
    """The distance (...) to planes from which ``slopes`` (..., c, h, w) and heights ``ahead`` lead, the box aside."""
    steepness = slopes.abs().sum((-3, -2, -1)) if norm == "linf" else length(slopes, norm)  # the dual norm
    return ahead.abs() / steepness  # infinite for a plane that nothing leads to


def leads(model: nn.Module, images: Tensor, labels: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """How far the logits of ``targets`` (b, k) are above that of the label, (b, k), and the gradients (b, k, c, h, w).

    One forward pass and k backward passes. Raises InputError when the outputs do not depend on the images in a way that
    can be differentiated.
    """
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        logits = model(images)
        if not logits.requires_grad:
            raise InputError(expected("attack", "a network with a gradient from its outputs to its images", "none"))
        ahead = logits.gather(1, targets) - logits.gather(1, labels[:, None])
        last = targets.shape[1] - 1
        slopes = [
            torch.autograd.grad(column.sum(), images, retain_graph=i < last)[0]
            for i, column in enumerate(ahead.unbind(1))
        ]
    return ahead.detach(), torch.stack(slopes, 1)


def shortest(images: Tensor, slopes: Tensor, gaps: Tensor, norm: Norm) -> Tensor:
    """The shortest changes δ with slopes·δ = gap that leave images + δ in [0, 1]: shape of ``slopes`` (..., c, h, w).

    ``gaps`` is (...). Where no change reaches the plane, δ goes as far towards it as the box allows (Croce & Hein, ICML
    2020, section 2.1). Every value moves in proportion to its weight (in Linf: as far as any other) until it meets
    its end of the box, so δ is known by one number, its reach. What a reach achieves is concave and made of straight
    pieces, and Newton's method from zero arrives at the exact reach after a few of them.
    """
    dims = (-3, -2, -1)
    gaps = gaps[..., None, None, None]
    uphill = slopes * gaps.sign()
    room = torch.where(uphill > 0, 1 - images, images)
    weight = slopes.abs()
    pace = torch.ones_like(weight) if norm == "linf" else weight
    reach = torch.zeros_like(gaps)
    while True:
        free = pace * reach < room
        achieved = torch.where(free, 0, weight * room).sum(dims, keepdim=True)
        rate = torch.where(free, weight * pace, 0).sum(dims, keepdim=True)
        further = torch.where(rate > 0, (gaps.abs() - achieved) / rate, reach)
        if not (further > reach).any():
            return uphill.sign() * torch.minimum(pace * reach, room)
        reach = torch.maximum(reach, further)
