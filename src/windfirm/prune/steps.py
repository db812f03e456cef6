"""The steps of a program, and fewer and cheaper ones for the same results.

Batch normalisation is folded into the convolution before it, what nobody reads is not made, and what nobody reads
again is overwritten.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from windfirm.prune.trace import Ref, refs_in
from windfirm.prune.watch import Place

aten = torch.ops.aten

#: The value of every tensor that is still needed, by the key of its Ref.
Values = dict[int, Tensor]

#: Operations whose result may be written over an operand, and what does so.
IN_PLACE = {
    aten.relu.default: aten.relu_.default,
    aten.hardtanh.default: aten.hardtanh_.default,
    aten.add.Tensor: aten.add_.Tensor,
}


@dataclass(frozen=True)
class Times:
    """A size: this many for every image."""

    each: int


@dataclass(frozen=True)
class Step:
    """One call, or two in one: Refs stand for tensors, Times for sizes; nobody needs ``drops`` afterwards."""

    op: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Ref, ...]
    places: tuple[Place, ...]
    drops: tuple[int, ...] = ()

    @cached_property
    def reads(self) -> list[Ref]:
        """Every tensor argument, in order, lists flattened."""
        return refs_in((self.args, dict(self.kwargs)))


def folded(steps: Sequence[Step], fixed: Values, outputs: Sequence[Ref]) -> list[Step]:
    """Each convolution that a batch normalisation alone reads, with it: y · γ/σ + (β − μ γ/σ) for its output y.

    The new weights are put into ``fixed``, the values of what does not depend on images.
    """
    readers: dict[int, list[int]] = {}
    for i, step in enumerate(steps):
        for ref in step.reads:
            readers.setdefault(ref.key, []).append(i)
    ends = {ref.key for ref in outputs}
    result, gone = list(steps), set()
    for i, step in enumerate(steps):
        if step.op is not aten.convolution.default or step.args[6]:
            continue
        out, weight = step.outputs[0], step.args[1]
        after = readers.get(out.key, [])
        norm = steps[after[0]] if len(after) == 1 and out.key not in ends else None
        known = all(ref.key in fixed for ref in refs_in(step.args[1:3]))
        if norm is None or norm.op is not aten.native_batch_norm.default or norm.args[5] or not known:
            continue
        _, gamma, beta, mean, variance, _, _, eps = norm.args
        if not all(ref is None or ref.key in fixed for ref in (gamma, beta, mean, variance)):
            continue
        tensor = fixed[weight.key]
        zero = tensor.new_zeros(1)
        bias, beta = (zero if ref is None else fixed[ref.key] for ref in (step.args[2], beta))
        scale = (fixed[variance.key] + eps).rsqrt() * (zero + 1 if gamma is None else fixed[gamma.key])
        shift = (bias - fixed[mean.key]) * scale + beta
        new = Ref(-2 * i - 2, weight.shape, weight.dtype), Ref(-2 * i - 3, tuple(shift.shape), weight.dtype)
        fixed[new[0].key] = tensor * scale.view(-1, *[1] * (tensor.ndim - 1))
        fixed[new[1].key] = shift
        result[i] = Step(
            step.op, (step.args[0], *new, *step.args[3:]), step.kwargs, norm.outputs[:1], (*step.places, *norm.places)
        )
        gone.add(after[0])
    return [step for i, step in enumerate(result) if i not in gone]


def dropping(steps: Sequence[Step], outputs: Sequence[Ref]) -> list[Step]:
    """The steps with what nobody needs after each, and written over an operand that was new and is needed no more."""
    needed = {ref.key for ref in outputs}
    shared = Counter(ref.storage for step in steps for ref in step.outputs)
    made = [step.outputs[0] for step in steps if step.op is aten.convolution.default or step.op in IN_PLACE]
    fresh = {ref.key for ref in made if shared[ref.storage] == 1}
    done: list[Step] = []
    for step in reversed(steps):
        if not step.op._schema.is_mutable and needed.isdisjoint(ref.key for ref in step.outputs):
            continue
        used = step.reads
        last = {ref.key for ref in (*used, *step.outputs)} - needed
        needed |= {ref.key for ref in used}
        op, args = step.op, step.args
        spare = [ref for ref in used if ref.key in last & fresh and _alike(ref, step.outputs[0])]
        if op in IN_PLACE and spare and not step.kwargs and len(used) == len({ref.key for ref in used}):
            op, args = IN_PLACE[op], (spare[0], *(arg for arg in args if arg is not spare[0]))
        done.append(Step(op, args, step.kwargs, step.outputs, step.places, tuple(last)))
    return done[::-1]


def _alike(one: Ref, other: Ref) -> bool:
    return (one.shape, one.dtype) == (other.shape, other.dtype)
