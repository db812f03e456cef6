"""From scores of single filters to scores of structures.

The filters that leave together are averaged: a unit of a group has the mean score of all its filters, whatever layer
they are in. A block has the mean score of its last layer's filters.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from windfirm.prune.criteria.base import Scores, Subject
from windfirm.prune.structure import Slice, Structure

#: For a slice that makes channels one score per index along its axis, ``(out,)``; None where there is none.
PerFilter = Callable[[Slice], Tensor | None]


def counted(structure: Structure) -> Sequence[Slice]:
    """The slices whose filters speak for a structure: all that make its channels, or the last of a block."""
    return structure.producers if structure.kind == "filters" else structure.producers[-1:]


def mean_over_members(
    structures: Sequence[Structure],
    per_filter: PerFilter,
    members: Callable[[Structure], Sequence[Slice]] = counted,
) -> Scores:
    """For each unit the mean over all filters that leave with it, float64 on the CPU.

    ``members`` gives the slices that speak for a structure. Filters without a score do not count; a structure with a
    unit that no scored filter makes is left out.
    """
    scores: Scores = {}
    for structure in structures:
        total = torch.zeros(structure.size, dtype=torch.float64)
        count = torch.zeros(structure.size, dtype=torch.float64)
        for piece in members(structure):
            values = per_filter(piece)
            if values is None:
                continue
            units = torch.tensor([unit for unit, indices in enumerate(piece.indices) for _ in indices])
            own = values.to(device="cpu", dtype=torch.float64)[[i for indices in piece.indices for i in indices]]
            total.index_add_(0, units, own)
            count.index_add_(0, units, torch.ones_like(own))
        if structure.size and bool((count > 0).all()):
            scores[structure] = total / count
    return scores


def filters(subject: Subject, piece: Slice) -> Tensor:
    """The weights of every filter along a slice's axis, as the layer applies them, as one row, ``(out, weights)``.

    In float64.
    """
    return rows_along(subject.weight(piece.tensor).double(), piece.axis)


def rows_along(tensor: Tensor, axis: int) -> Tensor:
    """One row for each index along the axis, ``(size, others)``."""
    return tensor.movedim(axis, 0).flatten(1)
