"""Criteria by name: how much each unit of a structure matters. Higher = keep; a criterion never ranks or cuts."""

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor, nn

from windfirm.errors import CutError, InputError, expected, nearest
from windfirm.prune.criteria.l1 import l1
from windfirm.prune.criteria.pls import pls
from windfirm.prune.criteria.random import random
from windfirm.prune.structure import Structure

Batches = Iterable[tuple[Tensor, Tensor]]
Scores = dict[Structure, Tensor]
Criterion = Callable[[nn.Module, Sequence[Structure], Batches, int], Scores]

CRITERIA: dict[str, Criterion] = {"l1": l1, "pls": pls, "random": random}


def score(
    name: str, model: nn.Module, structures: Sequence[Structure], batches: Batches = (), *, seed: int = 0
) -> Scores:
    """The scores of every structure that is not frozen: float64 tensors of shape ``(size,)``, higher = keep.

    ``batches`` yields (images (b, c, h, w) in [0, 1], labels (b,)); criteria that look at weights alone do not open it.
    ``model`` is left as it was. Raises InputError for an unknown name, CutError for scores that are not numbers.
    """
    if name not in CRITERIA:
        raise InputError(expected("criterion", f"one of {', '.join(CRITERIA)}", name) + nearest(name, CRITERIA))
    scores = CRITERIA[name](model, [s for s in structures if s.frozen is None], batches, seed)
    for structure, values in scores.items():
        if values.shape != (structure.size,) or not bool(values.isfinite().all()):
            raise CutError(expected(f"{name} of {structure.name}", f"{structure.size} finite scores", values.tolist()))
    return scores
