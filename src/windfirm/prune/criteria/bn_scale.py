"""The size of the scale that a normalisation gives a channel (Liu et al., Network Slimming, ICCV 2017).

It says most in a network that was trained with an L1 penalty on these scales, as the paper does.
"""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from windfirm.prune.criteria.base import Scores, Subject, criterion
from windfirm.prune.criteria.members import mean_over_members
from windfirm.prune.structure import Slice, Structure, inside

NORMALISATIONS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


@criterion("bn-scale")
def bn_scale(subject: Subject, structures: Sequence[Structure], seed: int) -> Scores:
    """Scores of shape ``(size,)``: the mean |γ| of all normalisations that leave with a unit; looks at no data.

    These are those behind the layers that make a channel and, where layers are normalised before they run, those that
    read it. A block has the mean |γ| over the last normalisation inside it, in the order of its modules. A structure
    has no score where no normalisation has a scale.
    """
    modules = dict(subject.model.named_modules())

    def scales(structure: Structure) -> Sequence[Slice]:
        if structure.kind == "filters":
            return [piece for piece in structure.slices if _is_scale(modules, piece.tensor, subject)]
        names = [f"{name}.weight" for path in structure.replaced for name in modules if inside(name, [path])]
        last = [name for name in names if _is_scale(modules, name, subject)][-1:]
        sizes = [(name, len(subject.tensors[name])) for name in last]
        return [Slice(name, 0, size, "along", (tuple(range(size)),)) for name, size in sizes]

    def size(piece: Slice) -> Tensor:
        return subject.tensors[piece.tensor].abs()

    return mean_over_members(structures, size, scales)


def _is_scale(modules: dict[str, nn.Module], tensor: str, subject: Subject) -> bool:
    """Whether a tensor is the scale of a normalisation, one number for each channel."""
    path, _, name = tensor.rpartition(".")
    known = subject.tensors.get(tensor)
    return name == "weight" and isinstance(modules.get(path), NORMALISATIONS) and known is not None and known.ndim == 1
