"""Operations that work index by index, and normalisations and reductions that look along an axis."""

from collections.abc import Sequence

import numpy as np
import torch

from windfirm.prune.coupling import Coupler, Labels
from windfirm.prune.rules.base import axis_of, freeze_axes, give_up, meet, tie_rows, vary
from windfirm.prune.trace import Call, Ref


def pointwise(c: Coupler, call: Call) -> None:
    """Operands are aligned from the right, and an axis of size 1 is spread over the other's."""
    for out in call.outputs:
        c.give(out, aligned(c, call, [ref for ref in call.inputs if ref.key not in c.uniform], out))


def copied(c: Coupler, call: Call) -> None:
    """The second tensor's values take the place of the first one's."""
    c.give(call.outputs[0], aligned(c, call, call.inputs[1:], call.outputs[0]))


def aligned(c: Coupler, call: Call, refs: Sequence[Ref], out: Ref) -> Labels:
    """What the labels of operands, spread over the shape of the result, make of its axes."""
    labels: Labels = {}
    reason = f"{call.op} in {call.where} meets a tensor that cannot shrink"
    rank = len(out.shape)
    for axis, size in enumerate(out.shape):
        reach = [(ref, own) for ref in refs if (own := axis - rank + len(ref.shape)) >= 0]
        places = [(ref, own) for ref, own in reach if ref.shape[own] == size]
        operands = [(ref, own) for ref, own in places if own not in c.spread.get(ref.key, ())]
        if places and not operands:
            c.spread.setdefault(out.key, set()).add(axis)
        if any(own in c.of(ref) for ref, own in operands):
            labels[axis] = meet(c, [axis_of(c, ref, own) for ref, own in operands], reason)
        for ref, own in reach:
            if ref.shape[own] == 1 < size and own in c.of(ref):
                c.freeze(c.of(ref)[own], f"{call.op} in {call.where} spreads one index over {size}")
    return labels


def unchanged(c: Coupler, call: Call) -> None:
    """The result is the first argument, in another precision or place."""
    c.give(call.outputs[0], dict(c.of(call.args[0])))


def restrided(c: Coupler, call: Call) -> None:
    """Other strides for the same shape change nothing; other shapes could not be followed."""
    x, out = call.args[0], call.outputs[0]
    if out.shape == x.shape:
        c.give(out, dict(c.of(x)))
    else:
        c.freeze_all(x, f"{call.op} in {call.where} gives another shape")


def constant(c: Coupler, call: Call) -> None:
    """One value everywhere: a tensor that takes whatever size the code asks for."""
    for out in call.outputs:
        c.uniform.add(out.key)


def put(c: Coupler, call: Call) -> None:
    """One value where a mask of the same shape says so, index by index; other places could not be followed."""
    x, places, values = call.args[:3]
    if [(p.shape, p.dtype) for p in places if p is not None] == [(x.shape, torch.bool)] and values.shape == ():
        pointwise(c, call)
    else:
        give_up(c, call, f"no rule for {call.op} in {call.where}")


def filled(c: Coupler, call: Call) -> None:
    """One value in the place of what was there."""
    c.freeze_all(call.args[0], f"{call.op} in {call.where} overwrites it")
    constant(c, call)


def over_space(c: Coupler, call: Call) -> None:
    """Pooling: the last two axes change, and what labels them could not be followed; the others pass."""
    x = call.args[0]
    spatial = len(x.shape) - (1 if "1d" in str(call.op) else 3 if "3d" in str(call.op) else 2)
    for out in call.outputs:
        c.give(out, {axis: nodes for axis, nodes in c.of(x).items() if axis < spatial})
    freeze_axes(c, x, [axis for axis in c.of(x) if axis >= spatial], f"{call.op} in {call.where} changes this axis")


def unpooled(c: Coupler, call: Call) -> None:
    """Max pooling undone: values go back to where their partners, the indices, say."""
    x, indices = call.args[:2]
    first = len(x.shape) - (3 if "3d" in str(call.op) else 2)
    reason = f"{call.op} in {call.where}"
    for ref in (x, indices):
        freeze_axes(c, ref, [axis for axis in c.of(ref) if axis >= first], f"{reason} changes this axis")
    axes = {axis for axis in (*c.of(x), *c.of(indices)) if axis < first}
    c.give(call.outputs[0], {axis: meet(c, [axis_of(c, ref, axis) for ref in (x, indices)], reason) for axis in axes})


def unfolded(c: Coupler, call: Call) -> None:
    """im2col: each channel becomes the entries of its patches."""
    x, out = call.args[0], call.outputs[0]
    freeze_axes(c, x, [axis for axis in c.of(x) if axis != 1], f"{call.op} in {call.where} changes this axis")
    if 1 in c.of(x):
        c.give(out, {1: np.repeat(c.of(x)[1], out.shape[1] // x.shape[1])})


def folded(c: Coupler, call: Call) -> None:
    """col2im: the entries of patches become their channel again."""
    x, out = call.args[0], call.outputs[0]
    freeze_axes(c, x, [axis for axis in c.of(x) if axis != 1], f"{call.op} in {call.where} changes this axis")
    if 1 in c.of(x):
        entries = c.of(x)[1].reshape(out.shape[1], -1)
        tie_rows(c, entries, f"{call.op} in {call.where} adds entries of patches")
        c.give(out, {1: entries[:, 0].copy()})


def batch_norm(c: Coupler, call: Call) -> None:
    """Scales each channel by itself: its tensors shrink with axis 1 of the input.

    With the statistics of the tensor itself, they change when something leaves along another axis.
    """
    x = call.args[0]
    names = ("weight", "bias", "running_mean", "running_var")
    tensors = [ref for name in names if (ref := call.argument(name)) is not None and ref.key not in c.uniform]
    labels = dict(c.of(x))
    if 1 in labels or any(c.of(ref) for ref in tensors):
        parts = [axis_of(c, x, 1), *(axis_of(c, ref, 0) for ref in tensors)]
        labels[1] = meet(c, parts, f"the input of {call.where}")
    if call.argument("training", False) or "no_stats" in str(call.op):
        for axis in labels:
            if axis > 1:
                c.mix(call, axis, labels[axis], [axis], keeps=True)
    c.give(call.outputs[0], labels)
    for statistics in call.outputs[1:]:
        if 1 in labels and statistics.shape == x.shape[1:2]:
            c.give(statistics, {0: labels[1]})


def layer_norm(c: Coupler, call: Call) -> None:
    """Statistics over the last axes, which change when something leaves there."""
    x, shape = call.args[:2]
    labels = dict(c.of(x))
    tensors = [ref for name in ("weight", "bias") if (ref := call.argument(name)) is not None]
    for i in range(len(shape)):
        axis = len(x.shape) - len(shape) + i
        parts = [axis_of(c, x, axis), *(axis_of(c, ref, i) for ref in tensors)]
        if axis in labels or any(i in c.of(ref) for ref in tensors):
            labels[axis] = meet(c, parts, f"the input of {call.where}")
            c.mix(call, axis, labels[axis], [axis], keeps=True)
    c.give(call.outputs[0], labels)
    for statistics in call.outputs[1:]:
        c.give(statistics, {axis: nodes for axis, nodes in labels.items() if axis < len(x.shape) - len(shape)})


def group_norm(c: Coupler, call: Call) -> None:
    """Statistics within groups of channels. Whole groups leave, or (their statistics change) the same of each."""
    x, weight, bias, _n, channels, _hw, groups = call.args[:7]
    parts = [axis_of(c, ref, axis) for ref, axis in ((x, 1), (weight, 0), (bias, 0)) if ref is not None]
    labels = dict(c.of(x))
    if 1 in labels or len(parts) > 1:
        nodes = labels[1] = meet(c, parts, f"the input of {call.where}")
        rows = nodes.reshape(groups, -1)
        options = 2 if 1 < groups < channels else 1
        whole = groups > 1 and c.choose(call, nodes, options) == 0
        tie_rows(c, rows if whole else rows.T, "a group of channels")
        c.numbers[call.number] = (groups, rows[:, 0] if whole else None)
        c.mix(call, 1, nodes, [] if whole else [1], keeps=True)
        for statistics in call.outputs[1:] if whole else ():
            c.give(statistics, {1: rows[:, 0]})
    c.give(call.outputs[0], labels)


def softmax(c: Coupler, call: Call) -> None:
    """Shares of a sum along an axis, which change when something leaves there."""
    x = call.args[0]
    dim = call.args[1] % len(x.shape)
    if dim in c.of(x):
        c.mix(call, dim, c.of(x)[dim], [dim], keeps=True)
    c.give(call.outputs[0], dict(c.of(x)))


def reduced(c: Coupler, call: Call) -> None:
    """A reduction: the axes that stay keep their labels. It reads the others; an average of fewer is another one.

    The largest and the smallest tell also where they were: numbers that a cut would change.
    """
    x = call.args[0]
    rank = len(x.shape)
    dims = call.argument("dim")
    dims = range(rank) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    gone = {dim % rank for dim in dims} if rank else set()
    for axis in gone & set(c.of(x)):
        c.mix(call, axis, c.of(x)[axis], [] if call.op.overloadpacket is torch.ops.aten.sum else [axis], keeps=False)
        if call.op.overloadpacket in (torch.ops.aten.max, torch.ops.aten.min):
            c.places |= {out.key: (c.of(x)[axis], f"{call.op} in {call.where}") for out in call.outputs[1:]}
    stay = [axis for axis in range(rank) if axis not in gone]
    place = {axis: axis if call.argument("keepdim", False) else i for i, axis in enumerate(stay)}
    for out in call.outputs:
        c.give(out, {place[axis]: nodes for axis, nodes in c.of(x).items() if axis in place})


def scanned(c: Coupler, call: Call) -> None:
    """Sorting, running sums and the like along one axis, where nothing can leave; the others pass."""
    x = call.args[0]
    rank, dim = len(x.shape), call.argument("dim", -1)
    if dim is None or not call.outputs[0].shape:  # along all axes, as along one
        freeze_axes(c, x, c.of(x), f"{call.op} in {call.where}")
        vary(c, call, range(rank))
        return
    dim %= rank
    freeze_axes(c, x, [dim], f"{call.op} in {call.where}")
    for out in call.outputs:
        lost = rank - len(out.shape)  # one, when the axis goes
        c.give(out, {axis - (lost if axis > dim else 0): nodes for axis, nodes in c.of(x).items() if axis != dim})
    vary(c, call, [dim])
