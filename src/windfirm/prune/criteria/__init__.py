"""Criteria by name: how much each unit of a structure matters. Higher = keep; a criterion never ranks or cuts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from windfirm.errors import CutError, InputError, expected, nearest
from windfirm.models.copies import copied
from windfirm.models.device import default_modes
from windfirm.models.meta import require_data
from windfirm.models.mode import switched
from windfirm.own import imported
from windfirm.prune.criteria.base import Criterion, Observer, Scores, Seen, Subject, criterion
from windfirm.prune.criteria.bn_scale import bn_scale
from windfirm.prune.criteria.cka import cka
from windfirm.prune.criteria.expected_abs import expected_abs
from windfirm.prune.criteria.fpgm import fpgm
from windfirm.prune.criteria.hrank import hrank
from windfirm.prune.criteria.kl_divergence import kl_divergence
from windfirm.prune.criteria.l1 import l1
from windfirm.prune.criteria.l2 import l2
from windfirm.prune.criteria.pls import pls
from windfirm.prune.criteria.random import random
from windfirm.prune.criteria.taylor import taylor
from windfirm.prune.observe import Batches, checked, fitting, observe
from windfirm.prune.structure import Anatomy, Structure

__all__ = [
    "CRITERIA",
    "Criterion",
    "Observer",
    "Scored",
    "Scores",
    "Seen",
    "Subject",
    "criterion",
    "named",
    "score",
    "scores",
]

CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {
        entry.name: entry
        for entry in (bn_scale, cka, expected_abs, fpgm, hrank, kl_divergence, l1, l2, pls, random, taylor)
    }
)

#: So many scores are shown in a complaint.
FEW = 8


@dataclass(frozen=True)
class Scored:
    """The scores from all images, and from two disjoint halves of them where the criterion looked at images."""

    scores: Scores
    halves: tuple[Scores, Scores] | None = None


def named(name: str | Criterion, where: str = "criterion") -> Criterion:
    """The criterion of that name, or one of the user's own, ``package.module:name``, which is imported; or itself.

    Never to be called with a name from a file of weights. Raises InputError that begins with ``where``, or with the
    user's name for what cannot be imported.
    """
    if isinstance(name, Criterion):
        return name
    name = str(name)
    if name in CRITERIA:
        return CRITERIA[name]
    if ":" not in name:
        wanted = f"{' or '.join(CRITERIA)} or package.module:criterion"
        raise InputError(expected(where, wanted, name) + nearest(name, CRITERIA))
    found = imported(name, "criterion")
    if not isinstance(found, Criterion):
        raise InputError(expected(name, "a function made a criterion by windfirm.criterion", type(found).__name__))
    return found


def score(
    name: str | Criterion,
    model: nn.Module,
    structures: Sequence[Structure],
    batches: Batches = (),
    *,
    seed: int = 0,
    body: Anatomy | None = None,
) -> Scores:
    """The scores of the structures that are not frozen: float64 tensors of shape ``(size,)`` on the CPU, higher = keep.

    ``name`` is one of CRITERIA, or a criterion of your own (see criterion). ``batches`` yields (images (b, c, h, w),
    labels (b,)) as the network takes them, in any floating-point type; criteria that look at weights alone do not open
    it. A structure for which the criterion has no score is left out. ``body`` saves tracing ``model`` again. A copy of
    ``model`` is run. Raises InputError for an unknown name, a network without data, batches that do not fit the
    network, and a criterion that has to see images when there are none; CutError for scores that are not numbers, and a
    network that cannot be copied.
    """
    (found,) = scores([name], model, structures, batches, seed=seed, body=body).values()
    return found.scores


@default_modes()
def scores(
    names: Sequence[str | Criterion],
    model: nn.Module,
    structures: Sequence[Structure],
    batches: Batches = (),
    *,
    seed: int = 0,
    body: Anatomy | None = None,
) -> dict[str, Scored]:
    """The scores by several criteria, by name, see score; all that have to see images share one pass over them.

    Raises InputError for two criteria of one name, and as score does.
    """
    asked = list(dict.fromkeys(named(name) for name in names))
    called = [entry.name for entry in asked]
    twice = [name for name in called if called.count(name) > 1]
    if twice:
        raise InputError(expected("criteria", "each of a name of its own", f"two called {twice[0]}"))
    free = [structure for structure in structures if structure.frozen is None]
    require_data(model)
    model = switched(copied(model), training=False)  # to be run: what its forward pass or its ``train`` writes is lost
    _check(model, free)
    subject, batches = _subject(model, batches, body, any(entry.data for entry in asked))
    begun = {entry.name: entry.begin(subject, free, seed) for entry in asked}
    observers = [entry for entry in begun.values() if isinstance(entry, Observer)]
    if observers:
        observe(model, observers, batches)
    return {
        name: _collected(name, entry) if isinstance(entry, Observer) else Scored(_plain(name, entry))
        for name, entry in begun.items()
    }


def _check(model: nn.Module, structures: Sequence[Structure]) -> None:
    """Raise InputError for a structure of another network, or of this one before it was cut."""
    shapes = {name: tensor.shape for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    for structure in structures:
        for piece in structure.slices:
            if shapes.get(piece.tensor, ())[piece.axis : piece.axis + 1] != (piece.size,):
                raise InputError(expected("structures", "those of this network", f"{structure.name} of another"))


def _collected(name: str, observer: Observer) -> Scored:
    whole = _plain(name, observer.scores(None))
    try:
        halves = _plain(name, observer.scores(0)), _plain(name, observer.scores(1))
    except InputError:  # half of the images are too few for this criterion
        return Scored(whole)
    return Scored(whole, halves if all(half.keys() == whole.keys() for half in halves) else None)


def _plain(name: str, found: Scores) -> Scores:
    """The scores in float64 on the CPU. Raises CutError unless there is one finite number for each unit."""
    if not isinstance(found, Mapping) or not all(isinstance(values, Tensor) for values in found.values()):
        raise CutError(expected(name, "an Observer, or a tensor of scores for each structure", type(found).__name__))
    for structure, values in found.items():
        if values.shape != (structure.size,) or not bool(values.isfinite().all()):
            got = values.tolist() if values.numel() <= FEW else f"{values.isfinite().sum()} in shape {[*values.shape]}"
            raise CutError(expected(f"{name} of {structure.name}", f"{structure.size} finite scores", got))
    return {structure: values.detach().to("cpu", torch.float64) for structure, values in found.items()}


def _subject(model: nn.Module, batches: Batches, body: Anatomy | None, data: bool) -> tuple[Subject, Batches]:
    """The network with an example to trace it by, the first image; and the batches, which are gone through once."""
    if not data or body is not None:
        return Subject(model, None, body), batches
    stream = checked(batches)
    first = next(stream, None)
    if first is None:
        raise InputError(expected("batches", "at least one image", "none"))
    example = tree_map_only(Tensor, lambda tensor: tensor[:1] if tensor.ndim else tensor, fitting(model, first[0]))
    return Subject(model, example), chain([first], stream)
