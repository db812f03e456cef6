"""FAB, the fast adaptive boundary attack, towards one class after another (Croce & Hein, ICML 2020).

It looks for the shortest change that fools. From wherever it is it steps over the linearised border, drawn towards the
point of the border that is nearest to the clean image, and back towards that image whenever the network is fooled.
"""

from collections.abc import Sequence
from functools import partial
from math import inf
from typing import NamedTuple

import torch
from torch import Tensor, nn

from windfirm.attack.border import leads, shortest
from windfirm.attack.budget import NORMS, Attack, Budget, Norm
from windfirm.attack.options import check, some
from windfirm.attack.pieces import pieces
from windfirm.attack.projection import length
from windfirm.attack.targets import towards
from windfirm.errors import InputError, expected

#: What stands for a length of zero, so that shares of lengths are defined.
_SHORT = 1e-8


class Stride(NamedTuple):
    """How FAB steps, in the paper's letters.

    ``alpha``: how much the clean image draws at most. ``eta``: how far a step over a border goes, as a multiple of its
    way to the border; at 1 it ends there, and how float32 rounds decides. ``beta``: how much of a change is kept once
    it fooled.
    """

    norm: Norm
    alpha: float
    eta: float
    beta: float


def targeted(
    side: int,
    *,
    steps: int = 100,
    targets: int = 9,
    norm: Norm = "linf",
    alpha: float = 0.1,
    eta: float = 1.05,
    beta: float = 0.9,
    minimal: bool = False,
) -> Attack:
    """FAB towards each of the ``targets`` likeliest other classes in turn, without a random start, as in AutoAttack.

    See Stride for ``alpha``, ``eta`` and ``beta``. An image is done as soon as a change within eps fools the network;
    with ``minimal`` the search goes on to the last step, for the shortest change.
    """
    check("fab-t", norm, steps=steps, targets=targets)
    if not (0 <= alpha <= 1 and 1 <= eta < inf and 0 < beta < 1):
        got = f"{alpha:g}, {eta:g} and {beta:g}"
        raise InputError(expected("fab-t", "an alpha in [0, 1], a finite eta of at least 1 and a beta in (0, 1)", got))
    stride = Stride(norm, alpha, eta, beta)

    @torch.no_grad()
    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        def towards_one(images: Tensor, aims: Tensor, budgets: Sequence[Budget]) -> tuple[Tensor, Tensor]:
            return search(model, stride, images, aims, steps, enough=enough, batch=budget.batch)

        enough = 0.0 if minimal else budget.eps
        best, lengths = towards(towards_one, model, images, labels, budget, count=targets, enough=enough)
        return torch.where((lengths <= budget.eps)[:, None, None, None], best, images)

    title = (
        f"fast adaptive boundary, {some(steps, 'step')} towards each of {targets} target classes (or all others), "
        f"alpha {alpha:g}, eta {eta:g}, beta {beta:g}, {'shortest change, ' if minimal else ''}{NORMS[norm]}, "
        "white-box, true labels"
    )
    return Attack("fab-t", title, apply, trials=1, average=False, norm=norm, packs=True)


def search(
    model: nn.Module, stride: Stride, images: Tensor, aims: Tensor, steps: int, *, enough: float, batch: int | None
) -> tuple[Tensor, Tensor]:
    """The shortest changes found that fool ``model``, as images (b, c, h, w), and their lengths (b,), infinite if none.

    ``aims`` (b, 2): see step. An image whose change is no longer than ``enough`` is done.
    """
    here, best = images.clone(), images.clone()
    lengths = images.new_full((len(images),), torch.inf)
    left = torch.arange(len(images), device=images.device)
    for _ in range(steps):
        if not len(left):
            break
        start = images[left]
        moved, fooled = pieces(partial(step, model, stride), batch, start, here[left], aims[left])
        sizes = length(moved - start, stride.norm)
        better = fooled & (sizes < lengths[left])
        best[left[better]], lengths[left[better]] = moved[better], sizes[better]
        here[left] = torch.where(fooled[:, None, None, None], start.lerp(moved, stride.beta), moved)
        left = left[lengths[left] > enough]
    return best, lengths


def step(model: nn.Module, stride: Stride, images: Tensor, here: Tensor, aims: Tensor) -> tuple[Tensor, Tensor]:
    """The points (b, c, h, w) that follow on ``here`` around ``images``, and where they fool ``model``, (b,).

    ``aims`` (b, 2): the labels, and the classes that are gone for.
    """
    labels = aims[:, 0]
    ahead, slopes = (each[:, 0] for each in leads("fab-t", model, here, labels, aims[:, 1:]))
    # One plane, through the border near here, as seen from here and from the clean image.
    way = shortest(here, slopes, -ahead, stride.norm)
    direct = shortest(images, slopes, -ahead - (slopes * (images - here)).sum((1, 2, 3)), stride.norm)
    far, near = (length(change, stride.norm).clamp(min=_SHORT) for change in (way, direct))
    drawn = (far / (far + near)).clamp(max=stride.alpha)[:, None, None, None]
    moved = (here + stride.eta * way).lerp(images + stride.eta * direct, drawn).clamp(0, 1)
    return moved, model(moved).argmax(1) != labels
