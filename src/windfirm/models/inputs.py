"""What a network is given, and random numbers in its place."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from windfirm import seeds

#: One tensor, several in order, or several by the names of the arguments.
Inputs = Tensor | Sequence[Tensor] | Mapping[str, Tensor]

#: Positional and named arguments.
Arguments = tuple[tuple[Tensor, ...], dict[str, Tensor]]


def separated(inputs: Inputs) -> Arguments:
    """The inputs as arguments of a call."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    return (tuple(inputs) if isinstance(inputs, Sequence) else (inputs,)), {}


def drawn(given: Arguments, spread: float | None, purpose: str) -> Arguments:
    """Random numbers like ``given``, in float64 on the CPU: normal with a standard deviation of ``spread``, or uniform.

    Uniform ones, when that is None, are in [0, 1). In the place of bytes are other bytes; integers that may be indices
    are taken as they are. ``purpose`` names their stream.
    """
    generator = seeds.stream(0, purpose, str(spread))
    draw = torch.rand if spread is None else torch.randn

    def like(example: Tensor) -> Tensor:
        if example.dtype == torch.uint8:
            return torch.randint(0, 256, example.shape, generator=generator, dtype=torch.uint8)
        if not example.is_floating_point():
            return example.cpu()
        return draw(example.shape, generator=generator, dtype=torch.float64) * (spread or 1.0)

    return tree_map_only(Tensor, like, given)  # type: ignore[no-any-return]


def doubled(given: Arguments) -> Arguments:
    """Twice as many images: the statistics of a batch need more than one."""
    return tree_map_only(Tensor, lambda tensor: tensor.repeat(2, *[1] * (tensor.ndim - 1)), given)  # type: ignore[no-any-return]
