"""From scores of single filters to scores of structures: the members that leave together are averaged."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from windfirm.prune.structure import Slice, Structure


def mean_over_members(
    structures: Sequence[Structure], per_filter: Callable[[Slice], Tensor]
) -> dict[Structure, Tensor]:
    """For each unit the mean over all filters that leave with it.

    ``per_filter`` gives, for a weight that makes channels, one score per index along its output axis, shape ``(out,)``.
    """
    scores: dict[Structure, Tensor] = {}
    for structure in structures:
        total = torch.zeros(structure.size, dtype=torch.float64)
        count = torch.zeros(structure.size, dtype=torch.float64)
        for piece in structure.producers:
            filters = per_filter(piece).to(device="cpu", dtype=torch.float64)
            for unit, indices in enumerate(piece.indices):
                total[unit] += filters[list(indices)].sum()
                count[unit] += len(indices)
        scores[structure] = total / count
    return scores
