"""Projected gradient steps from a random start (Madry et al., ICLR 2018, section 2.1)."""

import torch
from torch import Tensor, nn

from windfirm.adjust.objective import margin
from windfirm.attack.budget import NORMS, Attack, Budget, Norm
from windfirm.attack.climb import look, mostly
from windfirm.attack.options import check, some
from windfirm.attack.projection import project, random_point, steepest
from windfirm.errors import InputError, expected


def pgd(side: int, *, steps: int = 50, step: float = 0.25, restarts: int = 1, norm: Norm = "linf") -> Attack:
    """``steps`` of the size ``step``·eps (2/255 at 8/255) up the loss; the first point that fools ends it.

    Points are looked at from the random start to the last step. An image that is not fooled comes back as it was then.
    """
    check("pgd", norm, steps=steps, restarts=restarts)
    if not 0 < step <= 2:
        raise InputError(expected("pgd", "a step in (0, 2], in eps", step))

    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        moved = random_point(images, budget, norm, "pgd")
        result, rows = moved.clone(), torch.arange(len(images), device=images.device)
        glance = False
        for _ in range(steps):
            at = look("pgd", model, moved, labels[:, None], margin, budget.batch, glance=glance)
            rows, images, labels, moved, loss, slope = (t[~at.wrong] for t in (rows, images, labels, moved, *at[1:]))
            if not len(rows):
                break
            before, size = moved, step * budget.eps
            moved = project(before + size * steepest(slope, norm), images, budget.eps, norm)
            glance = mostly(loss, slope, moved - before)
            result[rows] = moved
        return result

    way = "the sign of the loss gradient" if norm == "linf" else "the loss gradient"
    title = (
        f"{some(steps, 'step')} of {step:g} eps along {way}, {NORMS[norm]}, random start, worst of every step of "
        f"{some(restarts, 'restart')}, white-box, true labels"
    )
    return Attack("pgd", title, apply, restarts, average=False, norm=norm, packs=True)
