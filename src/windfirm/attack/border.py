"""The border between an image's class and another class, taken for a plane: what FAB and DeepFool step towards."""

import torch
from torch import Tensor, nn

from windfirm.adjust.signs import differentiable
from windfirm.attack.budget import Norm
from windfirm.attack.projection import length

_IMAGE = (-3, -2, -1)

#: The share of its way to a plane after which a change counts as there, as far as float32 can tell.
ARRIVED = 1 - 1e-3


def rivals(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """The ``count`` classes with the highest logits besides the label, the highest first: (b, count) or fewer."""
    others = logits.scatter(1, labels[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
    return others[:, : min(count, logits.shape[1] - 1)]


def leads(name: str, model: nn.Module, images: Tensor, labels: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """How far the logits of ``targets`` (b, k) are above that of the label, (b, k), and the gradients (b, k, c, h, w).

    One forward pass and k backward passes. Raises what differentiable raises.
    """
    with torch.enable_grad():
        images, logits = differentiable(name, model, images)
        ahead = logits.gather(1, targets) - logits.gather(1, labels[:, None])
        # Sums over the batch: an image's gradient is then its own, whatever the batch.
        sums = ahead.sum(0).unbind()
        slopes = [torch.autograd.grad(each, images, retain_graph=each is not sums[-1])[0] for each in sums]
    return ahead.detach(), torch.stack([slope.contiguous() for slope in slopes], 1).nan_to_num_()


def distance(ahead: Tensor, slopes: Tensor, norm: Norm) -> Tensor:
    """How far it is in ``norm`` to the planes ``ahead + slopes·δ = 0``, the box aside: (...) like ``ahead``.

    It is infinite where ``slopes`` (..., c, h, w) is zero: nothing leads to that plane.
    """
    steepness = slopes.abs().sum(_IMAGE) if norm == "linf" else length(slopes, norm)  # the dual norm
    return (ahead.abs() / steepness).nan_to_num(torch.inf, torch.inf)


def nearest(images: Tensor, slopes: Tensor, gaps: Tensor, norm: Norm) -> Tensor:
    """The shortest change (b, c, h, w) that leads to one of the planes ``slopes``·δ = ``gaps`` (b, k) inside the box.

    Where the box holds no point of any, the change towards the one that is nearest, the box aside; see ``shortest``.
    """
    flat = slopes.flatten(0, 1)
    ways = shortest(images.repeat_interleave(gaps.shape[1], 0), flat, gaps.flatten(), norm).view_as(slopes)
    sizes = length(ways, norm)
    arrive = ((slopes * ways).sum(_IMAGE) >= ARRIVED * gaps) & (sizes > 0)
    sizes = sizes.where(arrive, torch.inf)
    which = torch.where(arrive.any(1), sizes.argmin(1), distance(gaps, slopes, norm).argmin(1))
    return ways[torch.arange(len(images), device=images.device), which]


def shortest(images: Tensor, slopes: Tensor, gaps: Tensor, norm: Norm) -> Tensor:
    """The shortest changes δ (b, c, h, w) with ``slopes``·δ = ``gaps`` (b,) that leave ``images`` + δ in [0, 1].

    Where no change arrives at the plane, the box's nearest corner to it (Croce & Hein, ICML 2020, section 2.1). Every
    value moves at its pace, in Linf all at the same, until it meets its end of the box, so that δ is known by one
    number, its reach. What a reach achieves is concave and made of straight pieces: Newton's method, from zero, is at
    the exact reach after a few of them.
    """
    scale = slopes.abs().amax(_IMAGE, keepdim=True).clamp(min=torch.finfo(slopes.dtype).tiny)
    uphill = slopes / scale * gaps[:, None, None, None].sign()
    room = torch.where(uphill > 0, 1 - images, images)
    weight = uphill.abs()
    pace = torch.ones_like(weight) if norm == "linf" else weight
    wanted = torch.minimum(gaps.abs()[:, None, None, None] / scale, (weight * room).sum(_IMAGE, keepdim=True))
    reach = torch.zeros_like(wanted)
    while True:
        free = pace * reach < room
        achieved = torch.where(free, 0, weight * room).sum(_IMAGE, keepdim=True)
        rate = torch.where(free, weight * pace, 0).sum(_IMAGE, keepdim=True)
        further = torch.where(rate > 0, (wanted - achieved) / rate, reach)
        if not (further > reach).any():
            return uphill.sign() * torch.minimum(pace * reach, room)
        reach = torch.maximum(reach, further)
