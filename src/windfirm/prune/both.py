"""Two cuts are proposed, of filters and of layers; which of them is made.

Jordao and Pedrini (ICCV AROW 2021) toss a coin every round. A rule that compares asks how far each of the two smaller
networks is from the one before the cut, and takes the nearer.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.errors import CutError, InputError, expected
from windfirm.models.copies import copied
from windfirm.models.inputs import Inputs
from windfirm.prune.criteria.base import Half, Observer, Scores, Seen, class_scores
from windfirm.prune.criteria.kl_divergence import divergence
from windfirm.prune.criteria.points import penultimate
from windfirm.prune.criteria.similarity import alignment, products, terms
from windfirm.prune.observe import Batches, checked, observe
from windfirm.prune.trace import trace

Sort = Literal["filters", "layers"]

#: Filters first, then layers, and so on; the nearer by outputs or by penultimate features; the authors' coin.
CHOICES = ("alternate", "kl-divergence", "cka", "coin")

#: Those that compare the two smaller networks, on images.
COMPARING = ("kl-divergence", "cka")

#: What a network makes of a batch, a row for each image.
Look = Callable[[tuple[Inputs, Tensor]], Tensor]


def turn(rule: str, number: int, seed: int) -> tuple[Sort, Sort]:
    """Which sort of cut comes first in this round, from 1, and which only if that cannot go on."""
    if rule == "coin":
        layers = bool(torch.rand((), generator=seeds.stream(seed, "coin", number)) < 0.5)
    else:
        layers = rule == "alternate" and number % 2 == 0
    return ("layers", "filters") if layers else ("filters", "layers")


def distances(
    rule: str, network: nn.Module, candidates: Mapping[Sort, nn.Module], example_inputs: Inputs, batches: Batches
) -> dict[Sort, float]:
    """How far each candidate is from ``network``; 0 for one that is equal.

    "kl-divergence": the mean over images of Σ q (log q − log p), q the candidate's class probabilities and p those of
    the network, in nats. "cka": 1 − linear CKA of the features that the last layer reads, in [0, 1], its three terms
    summed over the batches. Batches are gone through once, and none is kept. Raises InputError when there is no image,
    CutError for numbers that are not finite.
    """

    def look(network: nn.Module) -> Look:
        network = copied(network)  # which a forward pass may change
        return _probabilities(network) if rule == "kl-divergence" else _features(network, example_inputs)

    compare = _divergence if rule == "kl-divergence" else _terms
    see, others = look(network), {sort: look(candidate) for sort, candidate in candidates.items()}
    found = {sort: torch.zeros(3, dtype=torch.float64) for sort in candidates}
    seen = 0
    for batch in checked(batches):
        before = see(batch)
        for sort, see_other in others.items():
            found[sort] += compare(before, see_other(batch))
        seen += 1
    if not seen:
        raise InputError(expected("batches", "at least one image", "none"))
    if not all(bool(sums.isfinite().all()) for sums in found.values()):
        raise CutError(expected(rule, "finite outputs", "infinite or undefined ones"))
    if rule == "kl-divergence":
        return {sort: float(sums[0] / sums[1]) for sort, sums in found.items()}
    if not all(sums[1] > 0 for sums in found.values()):
        raise InputError(expected("cka", "at least two images in a batch, with features that differ", "none"))
    return {sort: 1 - float(alignment(sums)) for sort, sums in found.items()}


def _divergence(before: Tensor, after: Tensor) -> Tensor:
    """The sum over rows, and how many there are."""
    far = divergence(before, after)
    return torch.stack([far.sum(), far.new_tensor(len(far)), far.new_zeros(())]).cpu()


def _terms(before: Tensor, after: Tensor) -> Tensor:
    return terms(products(before), products(after))


def _probabilities(network: nn.Module) -> Look:
    """The logarithms of the first output's class probabilities, (rows, classes)."""

    def look(batch: tuple[Inputs, Tensor]) -> Tensor:
        found: list[Tensor] = []
        observe(network, [Observer(_nothing, batch=lambda seen: found.append(_rows(seen)))], [batch])
        return found[0].double().log_softmax(1)

    return look


def _rows(seen: Seen) -> Tensor:
    """The logits of every image, and of every position where there are several."""
    many = seen.logits.ndim > 2
    return seen.logits.movedim(1, -1).flatten(0, -2) if many else class_scores(seen.logits, len(seen.labels))


def _features(network: nn.Module, example_inputs: Inputs) -> Look:
    """What the last layer reads, (images, features)."""
    place = penultimate(trace(network, example_inputs))
    if place is None:
        raise InputError(expected("cka", "a network whose last layer reads features", "one without"))

    def look(batch: tuple[Inputs, Tensor]) -> Tensor:
        found: list[Tensor] = []

        def show(output: Tensor, images: range) -> None:
            found.append(output.detach().reshape(len(images), -1).clone())

        observe(network, [Observer(_nothing, {place: show})], [batch])
        return found[0]

    return look


def _nothing(half: Half) -> Scores:
    return {}
