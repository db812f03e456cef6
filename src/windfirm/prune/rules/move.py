"""Pure data movement: the operation is run on labels, and itself says where each index went."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

from windfirm.prune.coupling import Coupler, Labels, Nodes
from windfirm.prune.rules.base import axis_of, freeze_axes, meet, nobody, tie_rows, vary
from windfirm.prune.trace import Call, Ref


def moved(c: Coupler, call: Call) -> None:
    """One tensor, rearranged. An index that arrives nowhere was dropped by number, which would not follow a cut."""
    for nodes, arrived in _walk(c, call, call.args):
        if len(nodes) > 1 and not np.isin(nodes, arrived).all():
            c.freeze(nodes, f"{call.op} in {call.where} takes a fixed number of indices")


def expanded(c: Coupler, call: Call) -> None:
    """Axes of size 1 are repeated: along them the result takes whatever size the code asks for."""
    moved(c, call)
    x, out = call.args[0], call.outputs[0]
    new = len(out.shape) - len(x.shape)
    c.spread[out.key] = {axis for axis in range(len(out.shape)) if axis < new or x.shape[axis - new] == 1}


def padded(c: Coupler, call: Call) -> None:
    """Constants around: the indices that they add are nobody's, whatever their value."""
    x, pads = call.args[:2]
    labels = dict(c.of(x))
    for i in range(len(pads) // 2):
        axis, before, after = len(x.shape) - 1 - i, pads[2 * i], pads[2 * i + 1]
        if axis in labels:
            cropped = labels[axis][max(0, -before) : len(labels[axis]) - max(0, -after)]
            labels[axis] = np.concatenate((nobody(max(0, before)), cropped, nobody(max(0, after))))
            if min(before, after) < 0:
                c.freeze(c.of(x)[axis], f"{call.op} in {call.where} takes a fixed number of indices")
    c.give(call.outputs[0], labels)
    vary(c, call, [len(x.shape) - 1 - i for i in range(len(pads) // 2) if any(pads[2 * i : 2 * i + 2])])


def sliced(c: Coupler, call: Call) -> None:
    """A part of an axis. What the code takes is as a rule a half, a third …: the same of each part leaves."""
    x = call.args[0]
    dim, step = call.argument("dim", 0) % len(x.shape), call.argument("step", 1)
    labels = dict(c.of(x))
    if dim in labels:
        nodes = labels[dim]
        part = labels[dim] = nodes[call.argument("start") : call.argument("end") : step]
        if step != 1 or not len(part):
            c.freeze(nodes, f"{call.op} in {call.where} takes a fixed number of indices")
        elif len(part) < len(nodes) and len(nodes) % len(part) == 0 and c.choose(call, nodes, 2) == 0:
            _tie_columns(c, nodes.reshape(-1, len(part)))
    c.give(call.outputs[0], labels)


def split(c: Coupler, call: Call) -> None:
    """Parts of an axis; of parts of one size the same leaves, so that they stay of one size."""
    x, parts = call.args[0], call.outputs
    dim = call.argument("dim", 0) % len(x.shape)
    labels = c.of(x)
    start = 0
    for out in parts:
        stop = start + out.shape[dim]
        c.give(out, {**labels, dim: labels[dim][start:stop]} if dim in labels else dict(labels))
        start = stop
    alike = len(parts) > 1 and len({out.shape[dim] for out in parts}) == 1
    if dim in labels and alike and c.choose(call, labels[dim], 2) == 0:
        _tie_columns(c, labels[dim].reshape(len(parts), -1))


def gated(c: Coupler, call: Call) -> None:
    """The first half of an axis times the sigmoid of the second: the same of both leaves."""
    x = call.args[0]
    dim = call.argument("dim", -1) % len(x.shape)
    labels = dict(c.of(x))
    if dim in labels:
        halves = labels[dim].reshape(2, -1)
        _tie_columns(c, halves)
        labels[dim] = halves[0]
    c.give(call.outputs[0], labels)


def joined(c: Coupler, call: Call) -> None:
    """Concatenation, and stacking along a new axis: labels follow each other along it, and meet along the others."""
    tensors: list[Ref] = [ref for ref in call.args[0] if ref.shape != (0,)]
    (out,) = call.outputs
    dim = call.argument("dim", 0) % len(out.shape)
    new = len(tensors[0].shape) < len(out.shape)
    labels: Labels = {}
    for axis in range(len(tensors[0].shape)):
        if not any(axis in c.of(ref) for ref in tensors):
            continue
        parts = [axis_of(c, ref, axis) for ref in tensors]
        if axis == dim and not new:
            labels[axis] = np.concatenate(parts)
        else:
            labels[axis + (new and axis >= dim)] = meet(c, parts, f"{call.op} in {call.where}")
    c.give(out, labels)
    vary(c, call, [dim])


def looked_up(c: Coupler, call: Call) -> None:
    """Indexing by tensors: along the axes that they index nothing can leave, the others pass."""
    x, indices = call.args[:2]
    freeze_axes(c, x, [i for i, index in enumerate(indices) if index is not None], f"{call.op} in {call.where}")
    blank = [None if index is None else torch.zeros(index.shape, dtype=torch.long) for index in indices]
    _walk(c, call, (x, blank), skip={i for i, index in enumerate(indices) if index is not None})


def picked(c: Coupler, call: Call) -> None:
    """Selection along one axis by numbers that a tensor holds: nothing can leave there, the other axes pass."""
    x, dim, index = call.args[:3]
    freeze_axes(c, x, [dim % len(x.shape)], f"{call.op} in {call.where}")
    zeros = torch.zeros(index.shape, dtype=torch.long)
    _walk(c, call, (x, dim, zeros, *call.args[3:]), skip={dim % len(x.shape)})


def rolled(c: Coupler, call: Call) -> None:
    """A shift along some axes by fixed numbers: nothing can leave there, the other axes pass."""
    x = call.args[0]
    dims = {dim % len(x.shape) for dim in call.argument("dims", []) or range(len(x.shape))}
    freeze_axes(c, x, dims, f"{call.op} in {call.where}")
    _walk(c, call, call.args, skip=dims)


def shuffled(c: Coupler, call: Call) -> None:
    """Channel shuffle: channels are dealt out from groups, so that the same of every group leaves."""
    nodes = c.of(call.args[0]).get(1)
    if nodes is not None:
        _tie_columns(c, nodes.reshape(call.args[1], -1))
    moved(c, call)


def _walk(
    c: Coupler, call: Call, args: Sequence[Any], skip: set[int] | frozenset[int] = frozenset()
) -> list[tuple[Nodes, Nodes]]:
    """Run the call on the labels of each axis, label its outputs, and return what went in and what arrived."""
    went: list[tuple[Nodes, Nodes]] = []
    sources = [leaf for leaf in call.inputs if c.of(leaf)]
    for ref in sources[:1]:
        for axis, nodes in c.of(ref).items():
            if axis in skip:
                continue
            arrived = [np.empty(0, np.int64)]  # labels that lie along some axis; others were lost
            for out, values in zip(call.outputs, _run(call, args, ref, axis, nodes), strict=True):
                small = _varying(values)
                place = _read_off(c, call, small)
                if place is not None:
                    arrived.append(small.reshape(-1))
                    if c.labels.setdefault(out.key, {}).setdefault(place[0], place[1]) is not place[1]:
                        c.freeze(nodes, f"{call.op} in {call.where} joins two axes")  # the first one labels the result
            went.append((nodes, np.concatenate(arrived)))
    for ref in sources[1:]:
        c.freeze_all(ref, f"{call.op} in {call.where} moves several tensors")
    return went


def _run(call: Call, args: Sequence[Any], source: Ref, axis: int, nodes: Nodes) -> tuple[Tensor, ...]:
    """The operation on labels: lazily spread over the tensor's shape, or written out where a view needs it."""
    shape = [len(nodes) if i == axis else 1 for i in range(len(source.shape))]
    lazy = torch.from_numpy(np.ascontiguousarray(nodes)).view(shape).expand(source.shape)
    kwargs = {name: value for name, value in call.kwargs.items() if name not in ("dtype", "device", "layout")}

    def run(labels: Tensor) -> tuple[Tensor, ...]:
        def fill(ref: Ref) -> Tensor:
            return labels if ref is source else torch.zeros(ref.shape, dtype=torch.long)

        filled, named = tree_map_only(Ref, fill, (tuple(args), kwargs))
        result = call.op(*filled, **named)
        return (result,) if isinstance(result, Tensor) else tuple(result)

    try:
        return run(lazy)
    except RuntimeError:
        return run(lazy.contiguous())


def _varying(values: Tensor) -> Nodes:
    """Labels without the repetition along the axes where all are alike: those have size 1."""
    small = values[tuple(slice(0, min(n, 1) if stride == 0 else n) for n, stride in _extent(values))]
    for axis in range(small.ndim):
        if small.shape[axis] > 1 and bool((small == small.narrow(axis, 0, 1)).all()):
            small = small.narrow(axis, 0, 1)
    return small.numpy()


def _extent(values: Tensor) -> list[tuple[int, int]]:
    return list(zip(values.shape, values.stride(), strict=True))


def _read_off(c: Coupler, call: Call, small: Nodes) -> tuple[int, Nodes] | None:
    """The axis along which labels lie, and the labels; None where all are alike.

    An axis that was divided into several leaves along one of them, whichever lets most go (see Coupler.choose); all
    that lies at one index of it leaves together.
    """
    along = [axis for axis, size in enumerate(small.shape) if size > 1]
    if not along:
        return None
    rows = {axis: np.moveaxis(small, axis, 0).reshape(small.shape[axis], -1) for axis in along}
    order = sorted(along, key=lambda axis: -len(np.unique(rows[axis][:, 0])))
    chosen = order[0] if len(along) == 1 else order[c.choose(call, small.reshape(-1), len(order))]
    if len(along) > 1:
        tie_rows(c, rows[chosen], f"{call.op} in {call.where} divides an axis")
    return chosen, rows[chosen][:, 0].copy()


def _tie_columns(c: Coupler, parts: Nodes) -> None:
    """The same index of every part leaves together."""
    tie_rows(c, parts.T, "parts of one axis")
