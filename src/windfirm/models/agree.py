"""Whether two networks compute the same: both in float64, on random inputs."""

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from windfirm.models.copies import exact
from windfirm.models.device import default_modes
from windfirm.models.inputs import Arguments, Inputs, drawn, separated

#: Standard deviations of the random inputs; None stands for uniform ones in [0, 1).
SPREADS = (None, 3.0)


@default_modes()
def disagreement(first: nn.Module, second: nn.Module, example_inputs: Inputs) -> float:
    """The largest difference between outputs, each relative to its largest value; infinite for other shapes or NaN.

    The inputs are shaped like ``example_inputs``; see drawn. Neither network is changed.
    Raises what their forward passes raise.
    """
    twins = exact(first), exact(second)
    worst = 0.0
    for spread in SPREADS:
        inputs = drawn(separated(example_inputs), spread, "agree")
        with torch.inference_mode():
            ours, theirs = (_outputs(twin, inputs) for twin in twins)
        if [tensor.shape for tensor in ours] != [tensor.shape for tensor in theirs]:
            return float("inf")
        for a, b in zip(ours, theirs, strict=True):
            if a.numel():
                gap = float(gaps(a, b).max()) / largest(a)
                worst = max(worst, gap) if gap == gap else float("inf")
    return worst


def gaps(a: Tensor, b: Tensor) -> Tensor:
    """How far two tensors of one shape are apart, number by number; infinite numbers of the same sign are not."""
    return (a - b).abs().masked_fill(a == b, 0.0)


def largest(tensor: Tensor) -> float:
    """The largest of its finite numbers, without sign; 1 where there is none but zeros."""
    finite = tensor[tensor.isfinite()]
    return (float(finite.abs().max()) if finite.numel() else 0.0) or 1.0


def _outputs(model: nn.Module, inputs: Arguments) -> list[Tensor]:
    args, kwargs = tree_map_only(Tensor, torch.clone, inputs)  # a network may change what it is given
    leaves = [leaf for leaf in tree_leaves(model(*args, **kwargs)) if isinstance(leaf, Tensor)]
    return [leaf if leaf.is_complex() else leaf.double() for leaf in leaves]
