"""What the loss would change by, to first order, without a filter (Molchanov et al., Importance Estimation, CVPR 2019).

Setting weights w to zero changes the loss by about −Σ g·w, where g is its gradient. The square of that sum over a
filter's weights and bias is taken for every batch (the paper's equation 8, for the weights themselves), and then the
mean over batches. The loss is the mean cross-entropy of a batch, so the batch size is part of the definition: the
gradients of single images cancel in larger batches, and scores from batches of different sizes do not compare.
"""

from collections.abc import Mapping, Sequence
from itertools import count

import torch
from torch import Tensor

from windfirm.prune.criteria.base import Half, Observer, Scores, Seen, Subject, criterion
from windfirm.prune.criteria.means import Means
from windfirm.prune.criteria.members import counted, mean_over_members, rows_along
from windfirm.prune.criteria.points import CONVOLUTION, makers
from windfirm.prune.structure import Slice, Structure
from windfirm.prune.trace import Call

#: What the argument with the bias is called.
BIAS = {CONVOLUTION: "bias", torch.ops.aten.addmm.default: "self"}


@criterion("taylor", data=True)
def taylor(subject: Subject, structures: Sequence[Structure], seed: int) -> Observer:
    """Scores of shape ``(size,)``, in units of the squared loss; a batch counts the same whatever its size.

    Halves are the batches with an even and with an odd number. A block's score is that of its last layer. Filters
    that are no parameters have no gradient, and no score. Raises InputError where the loss cannot be had or
    differentiated, CutError for gradients that are not finite.
    """
    names = {ref.key: name for name, ref in subject.traced.parameters.items()}
    pieces = {piece.tensor: piece for s in structures for piece in counted(s)}
    biases = {tensor: _bias(makers(subject.traced, piece), names) for tensor, piece in pieces.items()}
    means = Means("taylor")
    turns = count()

    def batch(seen: Seen) -> None:
        turn = next(turns)
        for tensor, piece in pieces.items():
            if tensor in seen.gradients:
                products = seen.gradients[tensor].double() * subject.tensors[tensor].double()
                change = rows_along(products, piece.axis).sum(1)
                bias = biases[tensor]
                if bias in seen.gradients:
                    change = change + seen.gradients[bias].double() * subject.tensors[bias].double()
                means.add(tensor, change.square()[None], range(turn, turn + 1))

    def scores(half: Half) -> Scores:
        def per_filter(piece: Slice) -> Tensor | None:
            return means.mean(piece.tensor, half)

        return mean_over_members(structures, per_filter)

    return Observer(scores, batch=batch, gradients=True)


def _bias(calls: Sequence[Call], names: Mapping[int, str]) -> str:
    """The name of the bias that these calls of one layer add; empty when there is none."""
    bias = calls[0].argument(BIAS[calls[0].op]) if calls and calls[0].op in BIAS else None
    return names.get(bias.key, "") if bias is not None and len(bias.shape) == 1 else ""
