"""How far a filter is from the others of its layer (He et al., Filter Pruning via Geometric Median, CVPR 2019).

The geometric median of a layer's filters has the smallest sum of distances to all of them. A filter with a small sum is
close to it, and what it does the others can do: it leaves first, however large its weights are.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from windfirm.prune.criteria.base import Scores, Subject, criterion
from windfirm.prune.criteria.members import filters, mean_over_members
from windfirm.prune.structure import Slice, Structure


@criterion("fpgm")
def fpgm(subject: Subject, structures: Sequence[Structure], seed: int) -> Scores:
    """Scores of shape ``(size,)``: the sum of Euclidean distances to all other filters of the same weight tensor.

    In units of the weights; looks at no data. A block's is that of its last layer.
    """

    def distances(piece: Slice) -> Tensor:
        rows = filters(subject, piece)
        # Counted from their mean, so that filters that differ little lose no digits.
        rows = rows - rows.mean(0)
        return torch.cdist(rows, rows).fill_diagonal_(0).sum(1)

    return mean_over_members(structures, distances)
