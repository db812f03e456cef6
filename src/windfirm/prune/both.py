"""Two cuts are proposed, of filters and of layers; which of them is made.

Jordao and Pedrini (ICCV AROW 2021) toss a coin every round. A rule that compares asks how far each of the two smaller
networks is from the one before the cut, and takes the nearer.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.errors import InputError, expected
from windfirm.prune.criteria.base import Half, Observer, Scores, Seen
from windfirm.prune.criteria.kl_divergence import divergence
from windfirm.prune.criteria.points import penultimate
from windfirm.prune.criteria.similarity import linear_cka
from windfirm.prune.observe import Batches, observe
from windfirm.prune.trace import Inputs, trace

Sort = Literal["filters", "layers"]

#: Filters first, then layers, and so on; the nearer by outputs or by penultimate features; the authors' coin.
CHOICES = ("alternate", "kl-divergence", "cka", "coin")

#: Those that compare the two smaller networks, on images.
COMPARING = ("kl-divergence", "cka")


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
    the network, in nats. "cka": 1 − linear CKA of the features that the last layer reads, in [0, 1]. All batches are
    gone through once for each network. Raises InputError when there are none.
    """
    see = _logits if rule == "kl-divergence" else _features
    far = _divergence if rule == "kl-divergence" else _unlikeness
    before = see(network, example_inputs, batches)
    return {sort: far(before, see(candidate, example_inputs, batches)) for sort, candidate in candidates.items()}


def _divergence(before: Tensor, after: Tensor) -> float:
    return float(divergence(before.log_softmax(1), after.log_softmax(1)).mean())


def _unlikeness(before: Tensor, after: Tensor) -> float:
    return 1 - linear_cka(before, after)


def _logits(network: nn.Module, example_inputs: Inputs, batches: Batches) -> Tensor:
    """The first output for every image, (n, classes, …), in float64 on the CPU."""
    found: list[Tensor] = []

    def batch(seen: Seen) -> None:
        found.append(seen.logits.double().cpu())

    return _all(network, found, Observer(_nothing, batch=batch), batches)


def _features(network: nn.Module, example_inputs: Inputs, batches: Batches) -> Tensor:
    """What the last layer reads for every image, (n, features), in float64 on the CPU."""
    place = penultimate(trace(network, example_inputs))
    if place is None:
        raise InputError(expected("cka", "a network whose last layer reads features", "one without"))
    found: list[Tensor] = []

    def show(output: Tensor, images: range) -> None:
        found.append(output.detach().double().reshape(len(images), -1).cpu())

    return _all(network, found, Observer(_nothing, {place: show}), batches)


def _all(network: nn.Module, found: list[Tensor], observer: Observer, batches: Batches) -> Tensor:
    observe(network, [observer], batches)
    return torch.cat(found)


def _nothing(half: Half) -> Scores:
    return {}
