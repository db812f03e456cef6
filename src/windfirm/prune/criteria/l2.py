"""The Euclidean norm of a filter's weights (He et al., Soft Filter Pruning, IJCAI 2018)."""

from collections.abc import Sequence

from torch import Tensor

from windfirm.prune.criteria.base import Scores, Subject, criterion
from windfirm.prune.criteria.members import filters, mean_over_members
from windfirm.prune.structure import Slice, Structure


@criterion("l2")
def l2(subject: Subject, structures: Sequence[Structure], seed: int) -> Scores:
    """Scores of shape ``(size,)``, in units of the weights; looks at no data. A block's is that of its last layer."""

    def norms(piece: Slice) -> Tensor:
        return filters(subject, piece).square().sum(1).sqrt()

    return mean_over_members(structures, norms)
