"""The sum of a filter's absolute weights (Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017)."""

from collections.abc import Sequence

from torch import Tensor

from windfirm.prune.criteria.base import Scores, Subject, criterion
from windfirm.prune.criteria.members import filters, mean_over_members
from windfirm.prune.structure import Slice, Structure


@criterion("l1")
def l1(subject: Subject, structures: Sequence[Structure], seed: int) -> Scores:
    """Scores of shape ``(size,)``, in units of the weights; looks at no data. A block's is that of its last layer."""

    def norms(piece: Slice) -> Tensor:
        return filters(subject, piece).abs().sum(1)

    return mean_over_members(structures, norms)
