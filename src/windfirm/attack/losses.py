"""What attacks climb: a number for each image that is larger the nearer the network is to a mistake on it.

The cross-entropy is climbed as its margin (windfirm.adjust.objective.margin), of which it is a growing function: which
of two points is better, the sign of the gradient and its direction are the same, and nothing rounds away in float32.
"""

import torch
from torch import Tensor

from windfirm.errors import InputError, expected


def dlr(logits: Tensor, labels: Tensor) -> Tensor:
    """The difference of logits ratio (Croce & Hein, ICML 2020, equation 6), (b,).

    How far the best other class is ahead, as a share of the distance from the first to the third logit: scaling the
    logits does not change it. Raises InputError for fewer than 3 classes.
    """
    _check("apgd-dlr", logits, 3)
    ordered = logits.sort(1, descending=True).values
    true = logits.gather(1, labels[:, None])[:, 0]
    other = ordered[:, 0].where(logits.argmax(1) != labels, ordered[:, 1])
    return (other - true) / (ordered[:, 0] - ordered[:, 2] + 1e-12)


def targeted_dlr(logits: Tensor, labels: Tensor, targets: Tensor) -> Tensor:
    """The targeted difference of logits ratio (Croce & Hein, ICML 2020, equation 7), (b,), for ``targets`` (b,).

    How far the target is ahead of the label, as a share of the distance from the first logit to the mean of the third
    and fourth. Raises InputError for fewer than 4 classes.
    """
    _check("apgd-t", logits, 4)
    ordered = logits.sort(1, descending=True).values
    ahead = logits.gather(1, targets[:, None]) - logits.gather(1, labels[:, None])
    return ahead[:, 0] / (ordered[:, 0] - (ordered[:, 2] + ordered[:, 3]) / 2 + 1e-12)


def _check(name: str, logits: Tensor, least: int) -> None:
    """Raise InputError for too few classes; those that a network masks, with -inf, are none."""
    told = (logits != -torch.inf).sum(1)
    if logits.shape[1] < least or bool((told < least).any()):
        got = min(logits.shape[1], *told.tolist())
        raise InputError(expected(name, f"a network with at least {least} classes", got))
