"""Whether two networks compute the same: both in float64, on random inputs."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from windfirm import seeds
from windfirm.models.copies import exact

#: One tensor, several in order, or several by the names of the arguments.
Inputs = Tensor | Sequence[Tensor] | Mapping[str, Tensor]

#: Standard deviations of the random inputs; None stands for uniform ones in [0, 1).
SPREADS = (None, 3.0)


def disagreement(first: nn.Module, second: nn.Module, example_inputs: Inputs) -> float:
    """The largest difference between outputs, each relative to its largest value; infinite for other shapes or NaN.

    The inputs are shaped like ``example_inputs``; integer ones are taken as they are. Neither network is changed.
    Raises what their forward passes raise.
    """
    twins = exact(first), exact(second)
    worst = 0.0
    for spread in SPREADS:
        args, kwargs = _drawn(example_inputs, spread)
        with torch.inference_mode():
            ours, theirs = (_tensors(twin, *tree_map_only(Tensor, torch.clone, (args, kwargs))) for twin in twins)
        if [tensor.shape for tensor in ours] != [tensor.shape for tensor in theirs]:
            return float("inf")
        for a, b in zip(ours, theirs, strict=True):
            if a.numel():
                gap = float((a - b).abs().max()) / (float(a.abs().max()) or 1.0)
                worst = max(worst, gap) if gap == gap else float("inf")
    return worst


def _tensors(model: nn.Module, args: Sequence[Tensor], kwargs: Mapping[str, Tensor]) -> list[Tensor]:
    """The outputs of ``model``, which may change what it is given."""
    leaves = [leaf for leaf in tree_leaves(model(*args, **kwargs)) if isinstance(leaf, Tensor)]
    return [leaf if leaf.is_complex() else leaf.double() for leaf in leaves]


def _drawn(example_inputs: Inputs, spread: float | None) -> tuple[list[Tensor], dict[str, Tensor]]:
    generator = seeds.stream(0, "agree", str(spread))

    def like(example: Tensor) -> Tensor:
        if not example.is_floating_point():
            return example.cpu()
        draw = torch.rand if spread is None else torch.randn
        return draw(example.shape, generator=generator, dtype=torch.float64) * (spread or 1.0)

    if isinstance(example_inputs, Tensor):
        return [like(example_inputs)], {}
    if isinstance(example_inputs, Mapping):
        return [], {name: like(example) for name, example in example_inputs.items()}
    return [like(example) for example in example_inputs], {}
