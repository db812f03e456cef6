"""Criteria by name: how much each unit of a structure matters. Higher = keep; a criterion never ranks or cuts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType

from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from windfirm.errors import CutError, InputError, expected, nearest
from windfirm.prune.criteria.base import Criterion, Observer, Scores, Seen, Subject, criterion
from windfirm.prune.criteria.l1 import l1
from windfirm.prune.criteria.pls import pls
from windfirm.prune.criteria.random import random
from windfirm.prune.observe import Batches, fitting, observe
from windfirm.prune.structure import Anatomy, Structure

__all__ = ["CRITERIA", "Criterion", "Observer", "Scored", "Seen", "Subject", "criterion", "named", "score", "scores"]

CRITERIA: Mapping[str, Criterion] = MappingProxyType({entry.name: entry for entry in (l1, pls, random)})


@dataclass(frozen=True)
class Scored:
    """The scores from all images, and from two disjoint halves of them where the criterion looked at images."""

    scores: Scores
    halves: tuple[Scores, Scores] | None = None


def named(name: str | Criterion) -> Criterion:
    """The criterion of that name; one of the user's own is itself. Raises InputError for an unknown name."""
    if isinstance(name, Criterion):
        return name
    if name not in CRITERIA:
        raise InputError(expected("criterion", f"one of {', '.join(CRITERIA)}", name) + nearest(name, CRITERIA))
    return CRITERIA[name]


def score(
    name: str | Criterion,
    model: nn.Module,
    structures: Sequence[Structure],
    batches: Batches = (),
    *,
    seed: int = 0,
    body: Anatomy | None = None,
) -> Scores:
    """The scores of the structures that are not frozen: float64 tensors of shape ``(size,)``, higher = keep.

    ``batches`` yields (images (b, c, h, w), labels (b,)) as the network takes them; criteria that look at weights alone
    do not open it. A structure for which the criterion has no score is left out. ``body`` saves tracing ``model``
    again; ``model`` is left as it was. Raises InputError for an unknown name, and for a
    criterion that has to see images when there are none; CutError for scores that are not numbers.
    """
    (found,) = scores([name], model, structures, batches, seed=seed, body=body).values()
    return found.scores


def scores(
    names: Sequence[str | Criterion],
    model: nn.Module,
    structures: Sequence[Structure],
    batches: Batches = (),
    *,
    seed: int = 0,
    body: Anatomy | None = None,
) -> dict[str, Scored]:
    """The scores by several criteria, by name, see score; all that have to see images share one pass over them."""
    asked = [named(name) for name in names]
    free = [structure for structure in structures if structure.frozen is None]
    subject, batches = _subject(model, batches, body, any(entry.data for entry in asked))
    begun = {entry.name: entry.begin(subject, free, seed) for entry in asked}
    observers = [entry for entry in begun.values() if isinstance(entry, Observer)]
    if observers:
        observe(model, observers, batches)
    found = {name: Scored(entry) if isinstance(entry, dict) else _collected(entry) for name, entry in begun.items()}
    for name, entry in found.items():
        for structure, values in entry.scores.items():
            if values.shape != (structure.size,) or not bool(values.isfinite().all()):
                got = values.tolist()
                raise CutError(expected(f"{name} of {structure.name}", f"{structure.size} finite scores", got))
    return found


def _collected(observer: Observer) -> Scored:
    whole = observer.scores(None)
    try:
        return Scored(whole, (observer.scores(0), observer.scores(1)))
    except InputError:  # half of the images are too few for this criterion
        return Scored(whole)


def _subject(model: nn.Module, batches: Batches, body: Anatomy | None, data: bool) -> tuple[Subject, Batches]:
    """The network with an example to trace it by, the first image; and the batches, which are gone through once."""
    if not data or body is not None:
        return Subject(model, None, body), batches
    stream = iter(batches)
    first = next(stream, None)
    if first is None:
        raise InputError(expected("batches", "at least one image", "none"))
    example = tree_map_only(Tensor, lambda tensor: tensor[:1], fitting(model, first[0]))
    return Subject(model, example), chain([first], stream)
