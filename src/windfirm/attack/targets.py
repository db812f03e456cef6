"""Towards one other class after another: what targeted attacks have in common."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from windfirm.attack.border import rivals
from windfirm.attack.budget import Budget
from windfirm.attack.pieces import pieces

#: ``(images (b, c, h, w), labels and targets (b, 2), budgets) -> changed images and how good they are, (b,)``: the
#: smaller the better. The images are as many equal parts as there are budgets, one a target.
Search = Callable[[Tensor, Tensor, Sequence[Budget]], tuple[Tensor, Tensor]]


@torch.no_grad()
def towards(
    search: Search, model: nn.Module, images: Tensor, labels: Tensor, budget: Budget, *, count: int, enough: float
) -> tuple[Tensor, Tensor]:
    """The best that ``search`` finds for ``images`` (b, c, h, w) towards each of the ``count`` likeliest other classes.

    Returned as it returns it; for an image on which ``model`` is wrong, the image itself and 0. One class comes after
    the other, for the images for which nothing as good as ``enough`` was found, or several at once where those are so
    few that ``budget`` allows it. A class is a trial of its own, ``count`` of them to one of ``budget``.
    """
    (logits,) = pieces(lambda images: (model(images),), budget.batch, images)
    targets = rivals(logits, labels, count)
    best = images.clone()
    sizes = images.new_zeros(len(images)).masked_fill(logits.argmax(1) == labels, torch.inf)
    rank = 0
    while rank < targets.shape[1]:
        left = (sizes > enough).nonzero()[:, 0]
        if not len(left):
            break
        some = targets[left, rank : rank + max(1, budget.at_once // len(left))].T
        here = budget.only(left, images)
        trials = range(budget.trial * count + rank, budget.trial * count + rank + len(some))
        rows = left.repeat(len(some))
        aims = torch.stack((labels[rows], some.flatten()), 1)
        moved, found = search(images[rows], aims, [replace(here, trial=trial) for trial in trials])
        size, first = found.view(some.shape).min(0)
        better = size < sizes[left]
        taken = (first * len(left) + torch.arange(len(left), device=left.device))[better]
        best[left[better]], sizes[left[better]] = moved[taken], size[better]
        rank += len(some)
    return best, sizes
