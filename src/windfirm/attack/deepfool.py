"""DeepFool: a step to the nearest border of the linearised network, again and again.

Moosavi-Dezfooli, Fawzi & Frossard, CVPR 2016, algorithm 2. Unlike theirs, the steps know that images stay in [0, 1].
"""

import torch
from torch import Tensor, nn

from windfirm.attack.border import Norm, check_norm, distances, leads, length, rivals, shortest
from windfirm.attack.budget import Attack, Budget
from windfirm.errors import InputError, expected


def deepfool(side: int, *, norm: Norm = "linf", targets: int = 9, steps: int = 50, overshoot: float = 0.02) -> Attack:
    """Steps to the nearest of the borders to the ``targets`` likeliest classes, until the network is fooled.

    The change is made as short as it gets, whatever eps: changes longer than eps are taken back at the end.
    """
    check_norm("deepfool", norm)
    if targets < 1 or steps < 1 or overshoot < 0:
        got = f"{targets}, {steps} and {overshoot:g}"
        raise InputError(expected("deepfool", "at least 1 target and 1 step, and an overshoot of at least 0", got))

    @torch.no_grad()
    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        logits = model(images)
        classes = rivals(logits, labels, targets)
        changed = images.clone()
        moves = torch.zeros_like(images)  # the sum of the steps, without the overshoot
        left = (logits.argmax(1) == labels).nonzero()[:, 0]
        for _ in range(steps):
            if len(left) == 0:
                break
            ahead, slopes = leads(model, changed[left], labels[left], classes[left])
            nearest = distances(ahead, slopes, norm).nan_to_num(torch.inf).argmin(1)
            rows = torch.arange(len(left))
            moves[left] += shortest(changed[left], slopes[rows, nearest], -ahead[rows, nearest], norm)
            changed[left] = (images[left] + (1 + overshoot) * moves[left]).clamp(0, 1)
            left = left[model(changed[left]).argmax(1) == labels[left]]
        changed[left] = images[left]
        near = length(changed - images, norm) <= budget.eps
        return torch.where(near[:, None, None, None], changed, images)

    title = (
        f"steps to the nearest of {targets} linearised borders in {norm.capitalize()}, "
        f"at most {steps}, overshoot {overshoot:g}, white-box"
    )
    return Attack("deepfool", title, apply, trials=1, average=False, norm=norm)
