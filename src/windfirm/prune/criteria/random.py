"""The null that every criterion must beat: uniform random scores."""

from collections.abc import Sequence

import torch

from windfirm import seeds
from windfirm.prune.criteria.base import Scores, Subject, criterion
from windfirm.prune.structure import Structure


@criterion("random")
def random(subject: Subject, structures: Sequence[Structure], seed: int) -> Scores:
    """Uniform scores in [0, 1) of shape ``(size,)``; the same for the same seed and structure name."""
    return {
        structure: torch.rand(
            structure.size, generator=seeds.stream(seed, "random", structure.name), dtype=torch.float64
        )
        for structure in structures
    }
