"""The proof of a cut: the smaller network computes what the original does with the removed parts silenced.

Silencing happens where consumers read: in a copy of the original, the weights with which later layers read the removed
channels are zero. Nothing about how the smaller network was made enters the comparison but the list of what was to
go, so a channel that went missing elsewhere, or an order that was mixed up, shows as a difference.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from windfirm import seeds
from windfirm.errors import CutError, expected, first_line
from windfirm.models.copies import copied
from windfirm.prune.select import Cut

TOLERANCE = 1e-9

#: Standard deviations of the random inputs; None stands for uniform ones in [0, 1).
SPREADS = (None, 1.0, 3.0, 10.0)


def verify(
    model: nn.Module,
    smaller: nn.Module,
    cut: Cut,
    example_inputs: Tensor | Sequence[Tensor],
    *,
    tolerance: float = TOLERANCE,
) -> float:
    """The largest difference between the outputs, each relative to its largest value, in float64 on random inputs.

    The inputs are shaped like ``example_inputs``: uniform in [0, 1), where the outputs must be finite, and normal ones
    of growing spread, which wake filters that see nothing in the first; integer inputs are taken as they are. Raises
    CutError when a network does not run, or when the difference is not below ``tolerance``.
    """
    examples = (example_inputs,) if isinstance(example_inputs, Tensor) else tuple(example_inputs)
    original, smaller = silenced(model, cut), _exact(smaller)
    worst = 0.0
    for spread in SPREADS:
        inputs = _drawn(examples, spread)
        wanted = _outputs(original, inputs, "a network that runs in float64")
        got = _outputs(smaller, inputs, "a smaller network that runs")
        if spread is not None and not _finite(wanted):
            continue  # such inputs are none that this network is made for
        worst = max(worst, _difference(wanted, got))
        if not worst < tolerance:
            wanted_error = f"the outputs of the silenced original within {tolerance:g}"
            raise CutError(expected("cut", wanted_error, f"a difference of {worst:.2g}"))
    return worst


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
    return copied(model).to(device="cpu", dtype=torch.float64).eval()


def _outputs(model: nn.Module, inputs: Sequence[Tensor], wanted: str) -> list[Tensor]:
    try:
        with torch.inference_mode():
            leaves = tree_flatten(model(*inputs))[0]
    except Exception as error:  # whatever a stranger's forward pass may raise
        message = first_line(error)
        raise CutError(expected("cut", wanted, f"an error in its forward pass: {message}")) from error
    return [leaf.double() for leaf in leaves if isinstance(leaf, Tensor)]


def _drawn(examples: Sequence[Tensor], spread: float | None) -> list[Tensor]:
    """Random inputs in float64: uniform in [0, 1), or normal with a standard deviation of ``spread``."""
    generator = seeds.stream(0, "verify", str(spread))
    draw = torch.rand if spread is None else torch.randn
    return [
        draw(example.shape, generator=generator, dtype=torch.float64) * (spread or 1.0)
        if example.is_floating_point()
        else example.cpu()
        for example in examples
    ]


def _difference(wanted: Sequence[Tensor], got: Sequence[Tensor]) -> float:
    """The largest difference relative to the largest value of the same output: none hides behind a larger one."""
    shapes = [tuple(tensor.shape) for tensor in wanted], [tuple(tensor.shape) for tensor in got]
    if shapes[0] != shapes[1]:
        raise CutError(expected("cut", f"outputs of shapes {shapes[0]}", shapes[1]))
    if not (_finite(wanted) and _finite(got)):
        raise CutError(expected("cut", "finite outputs on random inputs", "infinite or undefined ones"))
    pairs = [(a, b) for a, b in zip(wanted, got, strict=True) if a.numel()]
    return max((float((a - b).abs().max()) / (float(a.abs().max()) or 1.0) for a, b in pairs), default=0.0)


def _finite(outputs: Sequence[Tensor]) -> bool:
    return all(bool(tensor.isfinite().all()) for tensor in outputs)
