"""The sum of a filter's absolute weights (Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017)."""

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from windfirm.prune.criteria.members import mean_over_members
from windfirm.prune.structure import Slice, Structure


def l1(
    model: nn.Module, structures: Sequence[Structure], batches: Iterable[tuple[Tensor, Tensor]], seed: int
) -> dict[Structure, Tensor]:
    """Scores of shape ``(size,)``, in units of the weights; looks at no data."""

    tensors = dict(model.named_parameters()) | dict(model.named_buffers())  # fixed filters may be buffers

    def norms(piece: Slice) -> Tensor:
        weight = tensors[piece.tensor].detach().double()
        return weight.abs().movedim(piece.axis, 0).flatten(1).sum(1)

    return mean_over_members(structures, norms)
