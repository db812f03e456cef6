"""Batch normalisation's running statistics taken anew, with every weight left alone.

A cut changes what the layers behind it see; means and variances from before it are then those of another network.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from windfirm import seeds
from windfirm.data.augment import to_float
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.models.device import default_modes, placed, require_float32
from windfirm.models.layout import arranged
from windfirm.models.mode import mode

#: So many images at most are normalised together.
BATCH = 128


@dataclass
class _Moments:
    """Count, mean and sum of squared differences from it, per channel in float64, of all values seen so far."""

    count: int
    mean: Tensor
    squares: Tensor

    def add(self, x: Tensor) -> None:
        """Take in a batch (b, c, …) by the parallel formula of Chan et al. (1979): exact, however it is split."""
        others = [axis for axis in range(x.ndim) if axis != 1]
        count = x.numel() // x.shape[1]
        variance, mean = (part.double() for part in torch.var_mean(x, others, correction=0))
        squares = variance * count
        total, step = self.count + count, mean - self.mean
        self.squares += squares + step.square() * (self.count * count / total)
        self.mean += step * (count / total)
        self.count = total


@default_modes()
def restate(model: nn.Module, images: Images, *, seed: int = 0, device: torch.device | str | None = None) -> None:
    """Set the running mean and the unbiased running variance of every batch normalisation to those of ``images``.

    One pass over the training images as they are, not augmented, in an order that follows from ``seed``, in float32.
    Inside a batch, layers normalise by the batch as they do in training; everything else is in eval mode. The moments
    of all batches are joined exactly, so that the first normalisation gets those of the whole set. One that no image
    reaches keeps its own. Raises InputError for a network without running statistics or less than two images.
    """
    device = placed(device)
    require_float32(model)
    if not _norms(model):
        raise InputError(expected("bn-only", "a network with batch normalisation that keeps statistics", "none"))
    if len(images) < 2:
        raise InputError(expected("bn-only", "at least 2 training images", len(images)))
    take(model, images.images, seed=seed, device=device)


@torch.no_grad()
def take(model: nn.Module, images: Tensor, *, seed: int, device: torch.device) -> None:
    """What restate does, of ``images`` (n, c, h, w) uint8; a network without running statistics stays as it is."""
    if not (norms := _norms(model)):
        return
    model.to(device)
    order = torch.randperm(len(images), generator=seeds.stream(seed, "statistics"))
    # Parts of equal size, as the statistics of a small rest would be poor ones to normalise by.
    parts = torch.tensor_split(order, -(-len(images) // BATCH))
    first = to_float(images[:2].to(device))
    exactly = torch.autocast(device.type, enabled=False)
    with mode(model, training=False), arranged(model, first), exactly, _watched(norms) as seen:
        for part in parts:
            model(to_float(images[part.to(images.device)].to(device)))
    for norm, moments in seen.items():
        norm.running_mean.copy_(moments.mean)
        norm.running_var.copy_(moments.squares / (moments.count - 1))
        norm.num_batches_tracked.fill_(len(parts))


def _norms(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, _BatchNorm) and module.running_mean is not None]


@contextmanager
def _watched(norms: Sequence[nn.Module]) -> Iterator[dict[Any, _Moments]]:
    """Inside the block the layers ``norms`` normalise by the batch; yields the moments of what each was given."""
    seen: dict[Any, _Moments] = {}

    def note(norm: Any, args: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        zeros = torch.zeros_like(norm.running_mean, dtype=torch.float64)
        seen.setdefault(norm, _Moments(0, zeros, zeros.clone())).add(*args, *named.values())

    hooks = [norm.register_forward_pre_hook(note, with_kwargs=True) for norm in norms]
    try:
        for norm in norms:
            norm.train()
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
