"""The independent truth about a cut, written without the package and without what the package says about the cut.

Every number of the original's parameters is unique (random float64). Whatever tool made the smaller network, those
that are still in one of its parameters tell what stayed. The original, full size, with every *lost* number set to zero
must then compute the same: a channel that is no longer made makes nothing, and one that is no longer read is not read.

Statistics that a layer, group or RMS norm takes over channels are taken over the channels whose scale is still there,
and those of a standardised weight over its numbers that are still there. A norm without a scale, or one that is written
out by hand, is left as it is; then a cut through it differs from this truth, and the two are different functions.
"""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves


def numbers(result: object) -> list[Tensor]:
    """All tensors in what a network returns, as float64; dataclasses are opened."""
    found: list[Tensor] = []
    for leaf in tree_leaves(result):
        if isinstance(leaf, Tensor):
            found.append(leaf.double())
        elif is_dataclass(leaf):
            found.extend(number for field in fields(leaf) for number in numbers(getattr(leaf, field.name)))
    return found


def still_there(model: nn.Module, smaller: nn.Module) -> dict[str, Tensor]:
    """For each parameter of ``model`` where its numbers are still in that parameter of ``smaller`` (True).

    Raises AssertionError when ``smaller`` holds a number that ``model`` has not, or one twice.
    """
    left = dict(smaller.named_parameters(remove_duplicate=False))
    alive = {}
    for name, tensor in model.named_parameters(remove_duplicate=False):
        if not tensor.is_floating_point():
            continue
        stays = left.get(name)
        if stays is not None and stays.shape == tensor.shape and torch.equal(stays, tensor):
            alive[name] = torch.ones_like(tensor, dtype=torch.bool)
        elif stays is None:
            alive[name] = torch.zeros_like(tensor, dtype=torch.bool)
        else:
            alive[name] = torch.isin(tensor.detach(), stays.detach())
            assert int(alive[name].sum()) == stays.numel(), f"{name} holds numbers that the original has not"
    return alive


class KeptStatistics(TorchFunctionMode):
    """While it is entered, norms take their statistics over what ``alive`` says of their scale, or of the weight."""

    def __init__(self, alive: Mapping[int, Tensor], weights: Mapping[int, Tensor]) -> None:
        super().__init__()
        self.alive, self.weights = alive, weights  # by the identity of the scale; by the address of the weight

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in (F.layer_norm, F.rms_norm, F.group_norm):
            scale = kwargs.get("weight", args[2] if len(args) > 2 else None)
            mask = self.alive.get(id(scale))
            if mask is not None and not mask.all():
                return NORMS[func](mask, *args, **kwargs)
        if func is F.batch_norm and kwargs.get("training", args[5] if len(args) > 5 else False):
            mask = self.weights.get(args[0].data_ptr())
            if mask is not None and mask.numel() == args[0].numel() and not mask.all():
                return _standardised(mask, *args, **kwargs)
        return func(*args, **kwargs)


def _layer_norm(
    mask: Tensor, x: Tensor, shape: Sequence[int], weight: Tensor, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    axes = tuple(range(-len(shape), 0))
    mean = (x * mask).sum(axes, keepdim=True) / mask.sum().clamp(min=1)
    variance = ((x - mean).square() * mask).sum(axes, keepdim=True) / mask.sum().clamp(min=1)
    y = (x - mean) / (variance + eps).sqrt() * weight
    return y if bias is None else y + bias


def _rms_norm(mask: Tensor, x: Tensor, shape: Sequence[int], weight: Tensor, eps: float | None = None) -> Tensor:
    axes = tuple(range(-len(shape), 0))
    square = (x.square() * mask).sum(axes, keepdim=True) / mask.sum().clamp(min=1)
    return x / (square + (torch.finfo(x.dtype).eps if eps is None else eps)).sqrt() * weight


def _group_norm(
    mask: Tensor, x: Tensor, groups: int, weight: Tensor, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    split = x.reshape(x.shape[0], groups, x.shape[1] // groups, -1)
    stays = mask.view(1, groups, -1, 1)
    count = (stays.sum((2, 3), keepdim=True) * split.shape[3]).clamp(min=1)
    mean = (split * stays).sum((2, 3), keepdim=True) / count
    variance = ((split - mean).square() * stays).sum((2, 3), keepdim=True) / count
    y = ((split - mean) / (variance + eps).sqrt()).reshape(x.shape)
    wide = (1, -1, *(1,) * (x.ndim - 2))
    y = y * weight.view(wide)
    return y if bias is None else y + bias.view(wide)


def _standardised(
    mask: Tensor, x: Tensor, mean: object, var: object, weight: Tensor | None = None, bias: Tensor | None = None,
    training: bool = True, momentum: float = 0.0, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """A weight ``(1, out, n)`` standardised by a batch norm: over the numbers of each filter that are still there."""
    stays = mask.view(x.shape)
    count = stays.sum(2, keepdim=True).clamp(min=1)
    middle = (x * stays).sum(2, keepdim=True) / count
    variance = ((x - middle).square() * stays).sum(2, keepdim=True) / count
    y = (x - middle) / (variance + eps).sqrt() * stays
    return y if weight is None else y * weight.view(1, -1, 1)


NORMS: dict[Callable[..., Any], Callable[..., Tensor]] = {
    F.layer_norm: _layer_norm,
    F.rms_norm: _rms_norm,
    F.group_norm: _group_norm,
}


def silenced(model: nn.Module, alive: Mapping[str, Tensor]) -> tuple[nn.Module, KeptStatistics]:
    """A copy of ``model``, full size, in which every lost number is zero, and the mode to run it in.

    Parameters that two layers share are parted first: what one has lost, the other may have kept.
    """
    twin = copy.deepcopy(model)
    scales, weights = {}, {}
    for name, tensor in model.named_parameters(remove_duplicate=False):
        if name in alive:
            path, _, attribute = name.rpartition(".")
            own = nn.Parameter(tensor.detach() * alive[name])
            setattr(twin.get_submodule(path), attribute, own)
            scales[id(own)] = alive[name]
            weights[own.data_ptr()] = alive[name]
    return twin, KeptStatistics(scales, weights)


def error(model: nn.Module, smaller: nn.Module, inputs: Sequence[Tensor]) -> float:
    """The largest difference between an output of ``smaller`` and of the silenced original, relative to that output.

    Both in float64 and eval mode, with unique parameters. Infinite where shapes differ or something is not finite.
    """
    twin, kept = silenced(model, still_there(model, smaller))
    with torch.no_grad():
        got = numbers(smaller(*map(torch.clone, inputs)))
        with kept:
            wanted = numbers(twin(*map(torch.clone, inputs)))
    return difference(got, wanted)


def difference(got: Sequence[Tensor], wanted: Sequence[Tensor]) -> float:
    """The largest difference relative to the largest value of the same output; infinite where that has no meaning."""
    if [a.shape for a in got] != [b.shape for b in wanted]:
        return math.inf
    worst = 0.0
    for a, b in zip(got, wanted, strict=True):
        if b.numel():
            relative = float((a - b).abs().max()) / (float(b.abs().max()) or 1.0)
            worst = max(worst, relative if math.isfinite(relative) else math.inf)
    return worst
