"""A model and a cut make a smaller model; the input model is untouched."""

from collections.abc import Sequence

from torch import Tensor, nn

from windfirm.models.copies import copied
from windfirm.models.shrink import shrink
from windfirm.prune.select import Cut
from windfirm.prune.verify import verify


def cut(model: nn.Module, cut: Cut, example_inputs: Tensor | Sequence[Tensor]) -> nn.Module:
    """A physically smaller copy of ``model``, proved equal to ``model`` with the removed units silenced.

    Raises CutError when the smaller network does not run or its outputs differ; see verify.
    """
    smaller = copied(model)
    for parameter in smaller.parameters():
        parameter.grad = None
    shrink(smaller, cut.kept())
    verify(model, smaller, cut, example_inputs)
    return smaller
