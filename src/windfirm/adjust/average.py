"""An exponential moving average of the weights, which is often the better network (Polyak & Juditsky, 1992).

Only weights are averaged. The statistics of batch normalisation belong to the weights that they were taken with, and
their average to no network at all: so they are taken anew for the averaged weights (Izmailov et al., UAI 2018) from a
few thousand training images, which is enough (Wu & Johnson, 2021, section 3).
"""

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.adjust.statistics import take
from windfirm.models.copies import copied

#: From so many training images at most statistics are taken.
IMAGES = 2048


def average_of(model: nn.Module) -> nn.Module:
    """A copy of ``model`` that becomes its average."""
    return copied(model).requires_grad_(False)


@torch.no_grad()
def update(average: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Let the weights of ``model`` after step ``step``, from 0, into the average.

    The share of what is there is min(decay, (1 + step) / (10 + step)), so that the first weights are soon forgotten.
    """
    share = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), share)


@torch.no_grad()
def settle(average: nn.Module, model: nn.Module, images: Tensor, rows: Tensor, seed: int) -> None:
    """Take the statistics of ``average`` anew from ``images`` (n, c, h, w) uint8 at ``rows``, or at IMAGES of those.

    Its other buffers become those of ``model``.
    """
    for old, new in zip(average.buffers(), model.buffers(), strict=True):
        old.copy_(new)
    few = rows[torch.randperm(len(rows), generator=seeds.stream(seed, "average"))[:IMAGES]]
    device = next(average.parameters()).device
    take(average, images[few.to(images.device)], seed=seed, device=device)
