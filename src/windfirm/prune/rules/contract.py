"""Convolutions and matrix products: they read channels of their input and make those of their output."""

import numpy as np

from windfirm.prune.coupling import Coupler, Nodes
from windfirm.prune.rules.base import axis_of, freeze_axes, give_up, meet, nobody, tie_rows
from windfirm.prune.trace import Call, Ref


def convolution(c: Coupler, call: Call) -> None:
    """Reads axis 1 of its input by the weight's input axis and makes axis 1 of its output from the other one."""
    x, weight, bias, _stride, _padding, _dilation, transposed, _output_padding, groups = call.args
    (out,) = call.outputs
    freeze_axes(c, x, [axis for axis in c.of(x) if axis != 1], f"{call.where} convolves along this axis")
    alike = weight.key in c.uniform or 0 in c.spread.get(weight.key, ())
    single = alike and bias is None and groups == x.shape[1] == weight.shape[0]  # each channel by itself
    axes = {1: axis_of(c, x, 1)} if single else c.of(weight)
    c.count(call, axes.values())
    if single:
        c.numbers[call.number] = (groups, axes[1])
        return c.give(out, axes)
    if 0 not in axes or 1 not in axes or weight.key not in c.fixed:
        c.role(c.source(weight).get(int(transposed), nobody(0)), "out")
        return give_up(c, call, f"{call.where} computes its weight")
    freeze_axes(c, weight, [axis for axis in axes if axis > 1], f"the kernel of {call.where}")
    if groups > 1:
        made, read = _grouped(c, call)
    else:
        made, read = (axes[1], axes[0]) if transposed else (axes[0], axes[1])
        c.role(made, "out")
        c.role(read, "in")
    c.tie(read, axis_of(c, x, 1), f"the input of {call.where}")
    c.read(call, 0, 1, axis_of(c, x, 1))
    if bias is not None:
        c.tie(made, axis_of(c, bias, 0), f"the bias of {call.where}")
    return c.give(out, {1: made})


def _grouped(c: Coupler, call: Call) -> tuple[Nodes, Nodes]:
    """The labels that a grouped convolution makes and those it reads, one for each channel.

    Either whole groups leave, or the same channels of every group.
    """
    weight, transposed, groups = call.args[1], call.args[6], call.args[8]
    axes = c.of(weight)
    split, shared = axes[0].reshape(groups, -1), axes[1]  # rows of the weight by group; what all groups have alike
    whole = c.choose(call, np.concatenate((axes[0], shared)), 1 if shared.size == split.shape[1] == 1 else 2) == 0
    tie_rows(c, split if whole else split.T, "a group of channels")
    c.role(axes[0], "in" if transposed else "out")
    if whole:
        c.freeze(shared, f"{call.where} loses whole groups of channels")
        other = np.repeat(split[:, :1], shared.size, axis=1).reshape(-1)
    else:
        c.role(shared, "out" if transposed else "in")
        other = np.tile(shared, groups)
    # One more or less group is a number that the layer states, and that no shape tells.
    c.numbers[call.number] = (groups, split[:, 0] if whole else None)
    return (other, axes[0]) if transposed else (axes[0], other)


def product(c: Coupler, call: Call) -> None:
    """``x (… n, i) @ y (… i, o)`` and its forms with an addend; a parameter on either side is the weight."""
    *addend, x, y = call.args
    (out,) = call.outputs
    rank = len(x.shape)
    before, last = rank - 2, rank - 1
    rows, columns = c.of(x).get(before), c.of(y).get(last)
    inner = _first(c.of(x).get(last), c.of(y).get(before))
    outer = _first(c.of(x).get(0), c.of(y).get(0)) if rank == 3 else None
    factors = [nodes for nodes in (rows, inner, columns, outer) if nodes is not None]
    c.count(call, factors)
    labels = {axis: nodes for axis, nodes in ((before, rows), (last, columns)) if nodes is not None}
    if outer is not None:
        labels[0] = meet(c, (axis_of(c, x, 0), axis_of(c, y, 0)), f"{call.where} multiplies tensor by tensor")
    if inner is not None:
        _contracted(c, call, x, y)
    for weight, made in ((x, before), (y, last)):
        if weight.key in c.fixed and made in c.of(weight) and inner is not None:
            c.role(c.of(weight)[made], "out")
    for bias in addend:
        for own, size in enumerate(bias.shape):
            axis = own + rank - len(bias.shape)
            if size == out.shape[axis] and (axis in labels or c.of(bias)):
                meeting = (labels.get(axis, nobody(size)), axis_of(c, bias, own))
                labels[axis] = meet(c, meeting, f"the bias of {call.where}")
    c.give(out, labels)


def _contracted(c: Coupler, call: Call, x: Ref, y: Ref) -> None:
    """The labels along the axis that is summed over: a weight reads the other side's."""
    first = len(call.args) - 2
    rank = len(x.shape)
    sides = ((x, rank - 1, first), (y, rank - 2, first + 1))
    weights = [ref for ref, _, _ in sides if ref.key in c.fixed]
    if len(weights) != 1:
        # Dimensions of a query and a key: their number sets the scale of attention, so that heads go, and not these.
        for ref, axis, _ in sides:
            freeze_axes(c, ref, [axis], f"{call.where} multiplies tensor by tensor")
        return
    c.tie(axis_of(c, x, rank - 1), axis_of(c, y, rank - 2), f"the input of {call.where}")
    for ref, axis, argument in sides:
        nodes = axis_of(c, ref, axis)
        if ref.key in c.fixed:
            c.role(nodes, "in")
        else:
            c.read(call, argument, axis, nodes)


def linear(c: Coupler, call: Call) -> None:
    """``x (…, i) @ weight (o, i).T + bias (o,)``, where a trace shows it undivided."""
    x, weight, *bias = call.args
    (out,) = call.outputs
    axes = c.of(weight)
    c.count(call, axes.values())
    last = len(x.shape) - 1
    if 0 not in axes or 1 not in axes or weight.key not in c.fixed:
        return give_up(c, call, f"{call.where} computes its weight")
    c.role(axes[0], "out")
    c.role(axes[1], "in")
    c.tie(axes[1], axis_of(c, x, last), f"the input of {call.where}")
    c.read(call, 0, last, axis_of(c, x, last))
    if bias and bias[0] is not None:
        c.tie(axes[0], axis_of(c, bias[0], 0), f"the bias of {call.where}")
    return c.give(out, {axis: nodes for axis, nodes in c.of(x).items() if axis != last} | {last: axes[0]})


#: The rules of the operations that multiply and add.
CONTRACTIONS = (convolution, product, linear)


def embedding(c: Coupler, call: Call) -> None:
    """Rows of a table, one for each number: makes the last axis."""
    weight, indices = call.args[:2]
    freeze_axes(c, weight, [0], f"{call.where} looks rows up")
    nodes = axis_of(c, weight, 1)
    c.role(nodes, "out")
    c.give(call.outputs[0], {len(indices.shape): nodes})


def _first(one: Nodes | None, other: Nodes | None) -> Nodes | None:
    return other if one is None else one
