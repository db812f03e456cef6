"""The proof of a cut: the smaller network computes what the original does with the removed parts silenced.

Silencing happens where consumers read: in a copy of the original, the weights with which later layers read the removed
channels are zero. Nothing about how the smaller network was made enters the comparison but the list of what was to
go, so a channel that went missing elsewhere, or an order that was mixed up, shows as a difference.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from windfirm import seeds
from windfirm.errors import CutError, expected
from windfirm.prune.select import Cut

TOLERANCE = 1e-9


def verify(
    model: nn.Module,
    smaller: nn.Module,
    cut: Cut,
    example_inputs: Tensor | Sequence[Tensor],
    *,
    tolerance: float = TOLERANCE,
) -> float:
    """The largest difference between the outputs, relative to the largest output, in float64 on random inputs.

    The inputs are uniform in [0, 1) and shaped like ``example_inputs``. Raises CutError when the smaller network does
    not run, or when the difference is not below ``tolerance``.
    """
    examples = (example_inputs,) if isinstance(example_inputs, Tensor) else tuple(example_inputs)
    generator = seeds.stream(0, "verify")
    inputs = [torch.rand(example.shape, generator=generator, dtype=torch.float64) for example in examples]
    wanted = _outputs(silenced(model, cut), inputs)
    try:
        got = _outputs(_exact(smaller), inputs)
    except (RuntimeError, ValueError) as error:
        message = str(error).strip().partition("\n")[0]
        raise CutError(
            expected("cut", "a smaller network that runs", f"an error in its forward pass: {message}")
        ) from error
    if [tensor.shape for tensor in wanted] != [tensor.shape for tensor in got]:
        shapes = [tuple(tensor.shape) for tensor in wanted], [tuple(tensor.shape) for tensor in got]
        raise CutError(expected("cut", f"outputs of shapes {shapes[0]}", shapes[1]))
    scale = max([1.0, *(float(tensor.abs().max()) for tensor in wanted)])
    error = max(float((a - b).abs().max()) for a, b in zip(wanted, got, strict=True)) / scale
    if not error < tolerance:
        raise CutError(
            expected(
                "cut", f"the outputs of the silenced original within {tolerance:g}", f"a difference of {error:.2g}"
            )
        )
    return error


def silenced(model: nn.Module, cut: Cut) -> nn.Module:
    """A float64 copy of ``model``, of its full size, in which no layer reads the units that ``cut`` removes."""
    twin = _exact(model)
    tensors = dict(twin.named_parameters(remove_duplicate=False)) | dict(twin.named_buffers(remove_duplicate=False))
    with torch.no_grad():
        for structure, units in cut.removed.items():
            for piece in structure.slices:
                if piece.role == "in":
                    indices = [index for unit in units for index in piece.indices[unit]]
                    tensors[piece.tensor].index_fill_(piece.axis, torch.tensor(indices), 0)
    return twin


def _exact(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()


def _outputs(model: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    with torch.inference_mode():
        return [leaf for leaf in tree_flatten(model(*inputs))[0] if isinstance(leaf, Tensor)]
