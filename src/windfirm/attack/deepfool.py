"""DeepFool: a step to the nearest border of the linearised network, again and again.

Moosavi-Dezfooli, Fawzi & Frossard, CVPR 2016, algorithm 2. Unlike theirs, the steps know that images stay in [0, 1].
"""

from math import inf

import torch
from torch import Tensor, nn

from windfirm.attack.border import leads, nearest, rivals
from windfirm.attack.budget import NORMS, Attack, Budget, Norm
from windfirm.attack.options import check, some
from windfirm.attack.pieces import pieces
from windfirm.attack.projection import length
from windfirm.errors import InputError, expected

#: How far apart two logits count that are the same number, as a share of the largest: bfloat16 tells no less apart.
TIE = 2.0**-8


def deepfool(side: int, *, norm: Norm = "linf", targets: int = 9, steps: int = 50, overshoot: float = 0.02) -> Attack:
    """Steps to the nearest of the borders to the ``targets`` likeliest other classes, until the network is fooled.

    ``overshoot``: by which share the change goes beyond the sum of the steps; with none it ends on the border, and how
    float32 rounds decides. The change is made as short as it gets, whatever eps is: one that is longer than eps is
    taken back in the end.
    """
    check("deepfool", norm, targets=targets, steps=steps)
    if not 0 <= overshoot < inf:
        raise InputError(expected("deepfool", "a finite overshoot of at least 0", overshoot))

    @torch.no_grad()
    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        def step(
            images: Tensor, here: Tensor, moves: Tensor, labels: Tensor, classes: Tensor, ties: Tensor
        ) -> tuple[Tensor, ...]:
            ahead, slopes = leads("deepfool", model, here, labels, classes)
            moves = moves + nearest(here, slopes, torch.where(ahead == 0, ties[:, None], -ahead), norm)
            here = (images + (1 + overshoot) * moves).clamp(0, 1)
            return here, moves, model(here).argmax(1) == labels

        (logits,) = pieces(lambda images: (model(images),), budget.batch, images)
        classes = rivals(logits, labels, targets)
        ties = TIE * logits.abs().amax(1)
        changed = images.clone()
        moves = torch.zeros_like(images)  # the sum of the steps, without the overshoot
        left = (logits.argmax(1) == labels).nonzero()[:, 0]
        for _ in range(steps):
            if not len(left) or not classes.shape[1]:  # beside a single class there is no border
                break
            state = (tensor[left] for tensor in (images, changed, moves, labels, classes, ties))
            changed[left], moves[left], right = pieces(step, budget.batch, *state)
            left = left[right]
        changed[left] = images[left]
        near = length(changed - images, norm) <= budget.eps
        return torch.where(near[:, None, None, None], changed, images)

    title = (
        f"at most {some(steps, 'step')} to the nearest linearised border, {targets} target classes (or all others), "
        f"overshoot {overshoot:g}, {NORMS[norm]}, white-box, true labels"
    )
    return Attack("deepfool", title, apply, trials=1, average=False, norm=norm, packs=True)
