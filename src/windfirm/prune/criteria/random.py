"""The null that every criterion must beat: uniform random scores."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.prune.structure import Structure


def random(
    model: nn.Module, structures: Sequence[Structure], batches: Iterable[tuple[Tensor, Tensor]], seed: int
) -> dict[Structure, Tensor]:
    """Uniform scores in [0, 1) of shape ``(size,)``; the same for the same seed and structure name."""
    return {
        structure: torch.rand(
            structure.size, generator=seeds.stream(seed, "random", structure.name), dtype=torch.float64
        )
        for structure in structures
    }
