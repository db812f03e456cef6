"""TRADES (Zhang et al., ICML 2019): right on the images as they are, and of one opinion all around them."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windfirm.adjust.objective import Objective, cross_entropy, logits_of
from windfirm.defend.craft import EPS, Ball, craft
from windfirm.errors import InputError, expected


def trades(side: int, *, eps: float = EPS, alpha: float | None = None, steps: int = 10, beta: float = 6.0) -> Objective:
    """The cross-entropy of the images, and ``beta`` times KL(p ‖ p′) from them to the ones that raise it most.

    Those are found in ``steps`` of ``alpha`` (eps / 4 when None) from a uniformly random start in the ball, where the
    divergence has a slope in bfloat16 too. Running statistics see both batches, as in the published code; the accuracy
    told is that on the images as they are. Raises InputError for values out of range.
    """
    ball = Ball("trades", eps, eps / 4 if alpha is None else alpha, steps)
    if not 0 <= beta < math.inf:
        raise InputError(expected("trades", "a beta of at least 0", beta))

    def loss(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        value, logits = cross_entropy(model, images, labels, generator)
        natural = logits.detach()
        moved = craft(model, images, lambda found: divergence(natural, found), ball, generator)
        return value + beta * divergence(logits, logits_of(model, moved)) / len(images), logits

    return Objective("trades", loss, {**ball.options(), "beta": beta}, labelled=True)


def divergence(logits: Tensor, others: Tensor) -> Tensor:
    """The sum over a batch of KL(softmax of ``logits`` ‖ softmax of ``others``), both (b, classes)."""
    return F.kl_div(others.log_softmax(1), logits.log_softmax(1), reduction="sum", log_target=True)
