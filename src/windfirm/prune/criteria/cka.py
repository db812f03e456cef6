"""How much what the last layer reads changes when a unit is silent: 1 − linear CKA of it with and without the unit.

CKA after Kornblith et al., Similarity of Neural Network Representations Revisited, ICML 2019, section 3; as a criterion
for pruning after Pons, Yamamoto, Reali Costa & Jordao, Effective Layer Pruning Through Similarity Metric Perspective,
ICPR 2024. With several batches the three terms of CKA are summed over them, as in Nguyen et al., Do Wide and Deep
Networks Learn the Same Things?, ICLR 2021, section 2; there the terms are unbiased, so that the batch size hardly
matters, here they are those of CKA itself.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from windfirm.errors import CutError, InputError, expected
from windfirm.prune.criteria.base import Half, Observer, Scores, Seen, Subject, criterion
from windfirm.prune.criteria.forks import Fork, forks
from windfirm.prune.criteria.points import last_layer
from windfirm.prune.criteria.similarity import alignment, products, terms
from windfirm.prune.criteria.variants import Part, variants
from windfirm.prune.replay import Program, replayed
from windfirm.prune.structure import Structure

#: All images of a batch, the even and the odd ones.
PARTS = 3


@criterion("cka", data=True)
def cka(subject: Subject, structures: Sequence[Structure], seed: int) -> Observer:
    """Scores of shape ``(size,)`` in [0, 1]: 0 where the features stay as they are but for a rotation and a scale.

    That is but for rounding. The batch size is part of the definition: features are centred within a batch. Raises
    TraceError for a network whose forward pass cannot be replayed, InputError for one without a last layer that reads
    one row an image. What is read where images do not lie one after the other gets no score.
    """
    made: list[tuple[Program, list[Fork], int, int]] = []  # at the first batch
    sums: dict[Structure, Tensor] = {}  # (parts, terms, size): ⟨K, L⟩, ⟨K, K⟩, ⟨L, L⟩ of the products of images K, L

    def batch(seen: Seen) -> None:
        if not made:
            program = replayed(subject.model, seen.inputs, seen.logits)
            made.append((program, forks(subject, structures, program), *_last(program)))
        ((program, found, end, argument),) = made
        count = len(seen.labels)
        values = program.begin(seen.inputs)
        program.run(values, 0, end, count)
        whole = _rows(program.args(program.steps[end], values, count)[argument], count)
        for fork in found:
            sums.setdefault(fork.structure, torch.zeros(PARTS, 3, fork.structure.size, dtype=torch.float64))
        halves = [slice(None), *(slice((half - seen.images.start) % 2, None, 2) for half in (0, 1))]
        kernels = [products(whole[half]) for half in halves]
        unseen = {fork.structure: set(range(fork.structure.size)) for fork in found}
        parts = variants(program, found, program.begin(seen.inputs), count, end)
        for structure, unit, features in _units(program, parts, whole, end, argument):
            unseen[structure].discard(unit)
            for part, half in enumerate(halves):
                sums[structure][part, :, unit] += terms(kernels[part], products(features[half]))
        for structure, units in unseen.items():  # there nothing changed for any image
            for part in range(PARTS):
                sums[structure][part][:, sorted(units)] += terms(kernels[part], kernels[part])[:, None]

    def scores(half: Half) -> Scores:
        part = 0 if half is None else half + 1
        found: Scores = {}
        for structure, found_terms in sums.items():
            if not bool((found_terms[part, 1] > 0).all()):
                raise InputError(expected("cka", "at least two images in a batch, with features that differ", "none"))
            found[structure] = 1 - alignment(found_terms[part])
        return found

    return Observer(scores, batch=batch)


def _last(program: Program) -> tuple[int, int]:
    """The step of the last layer, and the argument that it reads."""
    last = last_layer(program.trace)
    if last is None:
        raise InputError(expected(program.where, "a last layer before the outputs", "none"))
    return program.index[last[0].place], last[1]


def _rows(features: Tensor, images: int) -> Tensor:
    """Features as (images, numbers), float64."""
    if len(features) != images:
        got = f"{len(features)} rows for {images} images"
        raise InputError(expected("cka", "a last layer that reads one row an image", got))
    features = features.flatten(1).double()
    if not bool(features.isfinite().all()):
        raise CutError(expected("cka", "finite features", "infinite or undefined ones"))
    return features


def _units(
    program: Program, parts: Iterator[Part], whole: Tensor, end: int, argument: int
) -> Iterator[tuple[Structure, int, Tensor]]:
    """Structure by structure and unit by unit the features of all images with that unit silent."""
    current: tuple[Structure, int] | None = None
    features = whole
    for part in parts:
        args = part.fork.args(program, end, part.values, part.units)
        rows = _rows(args[argument], len(part.units))
        for unit in torch.unique(part.units).tolist():
            if (part.fork.structure, unit) != current:
                if current is not None:
                    yield *current, features
                current, features = (part.fork.structure, unit), whole.clone()
            own = part.units == unit
            features[part.images[own]] = rows[own]
    if current is not None:
        yield *current, features
