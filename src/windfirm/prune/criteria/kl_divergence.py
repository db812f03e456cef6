"""How far the network's answers move when a unit is silent (Luo & Wu, CURL, CVPR 2020, section 3.2).

Σ q (log q − log p), mean over images; p the softmax of the network, q that with the unit silent. A unit is silent as it
is when it has left: whoever reads its channels reads zeros; a block's branch adds nothing. A normalisation over
channels has the statistics of all of them still. 256 images are enough.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from windfirm.prune.criteria.base import Half, Observer, Scores, Seen, Subject, class_scores, criterion
from windfirm.prune.criteria.forks import Fork, forks
from windfirm.prune.criteria.means import Means
from windfirm.prune.criteria.variants import variants
from windfirm.prune.replay import Program, replayed
from windfirm.prune.structure import Structure


@criterion("kl-divergence", data=True)
def kl_divergence(subject: Subject, structures: Sequence[Structure], seed: int) -> Observer:
    """Scores of shape ``(size,)`` in nats, not below 0 but for rounding; they are small, and summed in float64.

    Raises TraceError for a network whose forward pass cannot be replayed, and InputError for outputs that are not
    (images, classes). What is read where images do not lie one after the other, as in a transformer that has them
    along its second axis, gets no score.
    """
    means = Means("kl-divergence")
    made: list[tuple[Program, list[Fork]]] = []  # at the first batch

    def batch(seen: Seen) -> None:
        if not made:
            program = replayed(subject.model, seen.inputs, class_scores(seen.logits, len(seen.labels)))
            made.append((program, forks(subject, structures, program)))
        ((program, found),) = made
        count, end, key = len(seen.labels), len(program.steps), program.outputs[0].key
        values = program.begin(seen.inputs)
        program.run(values, 0, end, count)
        log_p = values[key].double().log_softmax(1)
        rows = {fork.structure: torch.zeros(count, fork.structure.size, dtype=torch.float64) for fork in found}
        for part in variants(program, found, program.begin(seen.inputs), count, end):
            log_q = part.values[key].double().log_softmax(1)
            rows[part.fork.structure][part.images, part.units] = divergence(log_p[part.images], log_q).cpu()
        for structure, found_rows in rows.items():
            means.add(f"{structure.kind} {structure.name}", found_rows, seen.images)

    def scores(half: Half) -> Scores:
        found = {s: means.mean(f"{s.kind} {s.name}", half) for s in structures}
        return {s: mean for s, mean in found.items() if mean is not None}

    return Observer(scores, batch=batch)


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """Σ q (log q − log p) of every row, (b,), from logarithms (b, classes).

    The terms p − q, whose sum is zero, are added to each: none is negative then, and no digits cancel. The larger of p
    and q stands before, so that nothing overflows: p (t eᵗ − (eᵗ − 1)) and q (t + (e⁻ᵗ − 1)) are the same.
    """
    t = log_q - log_p
    down = -t.abs()
    lost = down.expm1()
    return (torch.maximum(log_p, log_q).exp() * torch.where(t > 0, lost - down, down * down.exp() - lost)).sum(1)
