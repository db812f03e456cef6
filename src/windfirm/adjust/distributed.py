"""One network trained by several processes that torchrun started; everything here does nothing in a process alone.

Every process takes its share of each batch, and all take the same step: that of one process with the whole batch, up to
rounding. To that end batch normalisation normalises by the whole batch. (PyTorch's SyncBatchNorm does so on GPUs only.)
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from windfirm.errors import CheckpointError, expected


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Inside the block the processes of torchrun know each other; yields the device of this one."""
    if not dist.is_torchelastic_launched():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0; only the first writes files."""
    return dist.get_rank() if dist.is_initialized() else 0


def share(count: int) -> slice:
    """The part of ``count`` images that is this process's."""
    return slice(count * rank() // processes(), count * (rank() + 1) // processes())


def total(values: Tensor) -> Tensor:
    """The sum of ``values`` over all processes, in place."""
    if processes() > 1:
        dist.all_reduce(values)
    return values


def join_gradients(model: nn.Module) -> None:
    """Give every weight the sum of its gradients over all processes.

    (DistributedDataParallel sends them while the backward pass still runs, but wants one forward pass before each, in
    which every weight has a part. Objectives may show the network several batches.)
    """
    if processes() == 1:
        return
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    sizes = [gradient.numel() for gradient in gradients]
    sums = total(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, part in zip(gradients, torch.split(sums, sizes), strict=True):
        gradient.copy_(part.view_as(gradient))


def agree_on(epochs: int) -> None:
    """Raise CheckpointError unless all processes found as many epochs done."""
    if processes() > 1:
        done = [0] * processes()
        dist.all_gather_object(done, epochs)
        if len(set(done)) > 1:
            got = f"{', '.join(map(str, done))} epochs done"
            raise CheckpointError(expected("torchrun", "a folder that all processes share", got))


@contextmanager
def synchronised(model: nn.Module) -> Iterator[None]:
    """Inside the block the batch normalisations of ``model`` in training use the statistics of all processes."""
    norms: list[Any] = [module for module in model.modules() if isinstance(module, _BatchNorm) and processes() > 1]
    for norm in norms:
        norm.forward = partial(_normalise, norm)
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward


def _normalise(norm: Any, x: Tensor) -> Tensor:
    """What ``norm`` computes of ``x`` (b, c, …), by the mean and variance over the batches of all processes."""
    if not norm.training and norm.running_mean is not None:
        outputs: Tensor = type(norm).forward(norm, x)
        return outputs
    values = x if x.dtype == torch.float64 else x.float()
    variance, mean = torch.var_mean(values, [axis for axis in range(x.ndim) if axis != 1], correction=0)
    mean, variance = mean.double(), variance.double()  # so that nothing is lost in the difference of squares
    count = torch.full_like(mean[:1], x.numel() / x.shape[1])
    sums: Tensor = _Sum.apply(torch.cat([count, count * mean, count * (variance + mean.square())]))  # type: ignore[no-untyped-call]
    count = sums[:1]
    mean, squares = torch.chunk(sums[1:] / count, 2)
    variance = squares - mean.square()
    if norm.training and norm.track_running_stats:
        _remember(norm, mean, variance * count / (count - 1))
    scale = (variance + norm.eps).rsqrt()
    offset = -mean * scale
    if norm.affine:
        scale, offset = scale * norm.weight, offset * norm.weight + norm.bias
    shape = [1, -1, *[1] * (x.ndim - 2)]
    return torch.addcmul(offset.to(values.dtype).view(shape), values, scale.to(values.dtype).view(shape)).to(x.dtype)


@torch.no_grad()
def _remember(norm: Any, mean: Tensor, variance: Tensor) -> None:
    """Move the running statistics, as BatchNorm does."""
    norm.num_batches_tracked.add_(1)
    share = 1 / int(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean), share)
    norm.running_var.lerp_(variance.to(norm.running_var), share)


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return total(values.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return total(gradient.clone())
