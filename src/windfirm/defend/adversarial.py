"""Adversarial training: the network learns from images made to fool it at this very step.

PGD-AT (Madry et al., ICLR 2018) climbs in several steps; Fast-AT (Wong, Rice & Kolter, ICLR 2020) in one large one from
a random start, which shows the network each batch twice instead of eight times.
"""

import torch
from torch import Tensor, nn

from windfirm.adjust.objective import Objective, cross_entropy, margin
from windfirm.defend.craft import EPS, Ball, craft


def fast_at(side: int, *, eps: float = EPS, alpha: float | None = None) -> Objective:
    """The cross-entropy of images after one FGSM step of ``alpha`` (1.25 eps when None) from a random start.

    Too large a step, or too long a training, ends in *catastrophic overfitting*: FGSM fails, PGD does not. So look at
    the result with several steps. Raises InputError for values out of range.
    """
    return _adversarial(Ball("fast-at", eps, min(1.25 * eps, 1.0) if alpha is None else alpha))


def pgd_at(side: int, *, eps: float = EPS, alpha: float | None = None, steps: int = 7) -> Objective:
    """The cross-entropy of images after ``steps`` of ``alpha`` (eps / 4 when None) from a random start.

    Raises InputError for values out of range.
    """
    return _adversarial(Ball("pgd-at", eps, eps / 4 if alpha is None else alpha, steps))


def _adversarial(ball: Ball) -> Objective:
    def loss(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        moved = craft(model, images, lambda logits: margin(logits, labels).sum(), ball, generator)
        return cross_entropy(model, moved, labels, generator)

    return Objective(ball.name, loss, ball.options(), labelled=True)
