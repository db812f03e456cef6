"""What each ATen operation does to channels: a few lines an operation, in a table keyed by the operation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils._pytree import tree_map_only

from windfirm.prune.trace import Call, Ref

if TYPE_CHECKING:
    from windfirm.prune.couple import Coupler, Labels, Nodes

aten = torch.ops.aten
Rule = Callable[["Coupler", Call], None]

#: Marks an index that no parameter shaped, such as a channel that a constant pad added.
NOBODY = -1


@dataclass(frozen=True)
class Contraction:
    """A convolution or matrix product, for counting: its weight and its multiply-adds for one image."""

    weight: str
    macs: int


def convolution(c: Coupler, call: Call) -> None:
    """Reads axis 1 of its input by the weight's input axis and makes axis 1 of its output from the other one."""
    x, weight, bias, _stride, _padding, _dilation, transposed, _output_padding, groups = call.args
    (out,) = call.outputs
    _count(c, weight, math.prod((x if transposed else out).shape) * math.prod(weight.shape[1:]))
    where = f"the input of {call.where}"
    _freeze_axes(c, call, x, lambda axis: axis != 1)
    axes = c.of(weight)
    if 0 not in axes or 1 not in axes:
        return _give_up(c, call, f"{call.where} computes its weight")
    if groups > 1:
        if weight.shape[:2] != (groups, 1) or x.shape[1] != groups or transposed:
            return _give_up(c, call, f"{call.where} is a grouped convolution")
        c.tie(axes[0], _axis(c, x, 1), where)  # depthwise: a channel comes in and the same one goes out
        made = axes[0]
    else:
        made, read = (axes[1], axes[0]) if transposed else (axes[0], axes[1])
        c.role(made, "out")
        c.role(read, "in")
        c.tie(read, _axis(c, x, 1), where)
    if bias is not None:
        c.tie(made, _axis(c, bias, 0), f"the bias of {call.where}")
    return c.give(out, {1: made})


def matrix_product(c: Coupler, call: Call) -> None:
    """``input (n, i) @ weight (i, o) [+ bias (o,)]``, the weight a transposed parameter, as in a linear layer."""
    *bias, x, weight = call.args
    (out,) = call.outputs
    _count(c, weight, math.prod(out.shape) * weight.shape[0])
    axes = c.of(weight)
    if 0 not in axes or 1 not in axes:
        return _give_up(c, call, f"{call.where} multiplies two computed tensors")
    _freeze_axes(c, call, x, lambda axis: axis != 1)
    c.role(axes[1], "out")
    c.role(axes[0], "in")
    c.tie(axes[0], _axis(c, x, 1), f"the input of {call.where}")
    if bias:
        c.tie(axes[1], _axis(c, bias[0], len(bias[0].shape) - 1), f"the bias of {call.where}")
    return c.give(out, {1: axes[1]})


def batched_product(c: Coupler, call: Call) -> None:
    """``(b, n, i) @ (b, i, o)`` of computed tensors, as in attention: counted, and nothing that meets in it can go."""
    *_, x, y = call.args
    _count(c, x, math.prod(x.shape) * y.shape[2])
    _give_up(c, call, f"{call.where} multiplies two computed tensors")


def batch_norm(c: Coupler, call: Call) -> None:
    """Scales each channel by itself: its four tensors shrink with axis 1 of the input."""
    x = call.args[0]
    met = _axis(c, x, 1)
    for tensor in call.args[1:5]:
        if tensor is not None:
            met = _meet(c, met, _axis(c, tensor, 0), f"the input of {call.where}")
    c.give(call.outputs[0], c.of(x) | {1: met})


def pointwise(c: Coupler, call: Call) -> None:
    """Works index by index; operands are aligned from the right, and an axis of size 1 is spread over the other's."""
    (out,) = call.outputs
    labels: Labels = {}
    reason = f"{call.op} in {call.where} meets a tensor that cannot shrink"
    for axis, size in enumerate(out.shape):
        aligned = [(ref, axis - len(out.shape) + len(ref.shape)) for ref in call.inputs]
        operands = [(ref, own) for ref, own in aligned if own >= 0 and ref.shape[own] == size]
        if any(own in c.of(ref) for ref, own in operands):
            met: Nodes | None = None
            for ref, own in operands:
                met = _meet(c, met, _axis(c, ref, own), reason)
            assert met is not None
            labels[axis] = met
    c.give(out, labels)


def over_space(c: Coupler, call: Call) -> None:
    """Pooling: the last two axes change, and what labels them could not be followed; the others pass."""
    x = call.args[0]
    space = len(x.shape) - 2
    for out in call.outputs:
        c.give(out, {axis: nodes for axis, nodes in c.of(x).items() if axis < space})
    _freeze_axes(c, call, x, lambda axis: axis >= space)


def mean(c: Coupler, call: Call) -> None:
    """A reduction: the axes that stay keep their labels; one that is averaged over cannot lose an index unseen."""
    x = call.args[0]
    dims = call.args[1] if len(call.args) > 1 and call.args[1] else range(len(x.shape))
    keepdim = call.args[2] if len(call.args) > 2 else call.kwargs.get("keepdim", False)
    gone = {dim % len(x.shape) for dim in dims}
    _freeze_axes(c, call, x, lambda axis: axis in gone)
    stay = [axis for axis in range(len(x.shape)) if axis not in gone]
    place = {axis: axis if keepdim else i for i, axis in enumerate(stay)}
    c.give(call.outputs[0], {place[axis]: nodes for axis, nodes in c.of(x).items() if axis in place})


def moved(c: Coupler, call: Call) -> None:
    """Pure data movement: run the operation itself on a tensor of labels and read off where each index went."""
    for axis in sorted({axis for ref in call.inputs for axis in c.of(ref)}):
        labels = _run(c, call, axis)
        nodes = np.concatenate([c.of(ref)[axis] for ref in call.inputs if axis in c.of(ref)])
        found = False
        for out, values in zip(call.outputs, labels, strict=True):
            for out_axis, size in enumerate(out.shape if values.numel() else ()):
                rows = values.movedim(out_axis, 0).reshape(size, -1)
                if size > 1 and bool((rows == rows[:, :1]).all()) and bool((rows[0, 0] != rows[:, 0]).any()):
                    arrived = rows[:, 0].numpy().copy()
                    c.labels.setdefault(out.key, {})[out_axis] = arrived
                    found = True
                    # A number of indices that the call itself fixes would not follow a cut.
                    if not np.isin(nodes, arrived).all():
                        c.freeze(nodes, f"{call.op} in {call.where} takes a fixed number of indices")
        if not found and len(nodes) > 1:
            c.freeze(nodes, f"{call.op} in {call.where} mixes this axis with another")


def padded(c: Coupler, call: Call) -> None:
    """Constants around: the indices that they add are nobody's, whatever their value."""
    moved(c, replace(call, args=(*call.args[:2], NOBODY)))


def _run(c: Coupler, call: Call, axis: int) -> tuple[torch.Tensor, ...]:
    def labelled(ref: Ref) -> torch.Tensor:
        nodes = c.of(ref).get(axis)
        if nodes is None:
            return torch.full(ref.shape, NOBODY)
        shape = [len(nodes) if i == axis else 1 for i in range(len(ref.shape))]
        return torch.from_numpy(nodes).view(shape).expand(ref.shape).contiguous()

    args, kwargs = tree_map_only(Ref, labelled, (call.args, dict(call.kwargs)))
    kwargs.pop("dtype", None), kwargs.pop("device", None)
    result = call.op(*args, **kwargs)
    return (result,) if isinstance(result, torch.Tensor) else tuple(result)


def unchanged(c: Coupler, call: Call) -> None:
    """The result is the first argument, in another precision or place."""
    c.give(call.outputs[0], dict(c.of(call.args[0])))


def _axis(c: Coupler, ref: Ref, axis: int) -> Nodes:
    nodes = c.of(ref).get(axis)
    return np.full(ref.shape[axis], NOBODY, np.int64) if nodes is None else nodes


def _meet(c: Coupler, met: Nodes | None, nodes: Nodes, reason: str) -> Nodes:
    if met is None:
        return nodes
    c.tie(met, nodes, reason)
    return np.where(met == NOBODY, nodes, met)


def _freeze_axes(c: Coupler, call: Call, ref: Ref, gone: Callable[[int], bool]) -> None:
    for axis, nodes in c.of(ref).items():
        if gone(axis):
            c.freeze(nodes, f"{call.op} in {call.where} reduces this axis")


def _give_up(c: Coupler, call: Call, reason: str) -> None:
    for ref in call.inputs:
        c.freeze_all(ref, reason)


def _count(c: Coupler, weight: Ref, macs: int) -> None:
    nodes = [nodes for nodes in c.of(weight).values() if len(nodes)]
    c.contractions.append(Contraction((c.owner(nodes[0]) if nodes else None) or "", macs // c.batch))


POINTWISE = (
    aten.add.Tensor, aten.add_.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.mul_.Tensor, aten.div.Tensor,
    aten.relu.default, aten.relu_.default, aten.hardtanh.default, aten.hardtanh_.default, aten.sigmoid.default,
    aten.silu.default, aten.silu_.default, aten.gelu.default, aten.tanh.default, aten.leaky_relu.default,
    aten.hardswish.default, aten.hardswish_.default, aten.hardsigmoid.default, aten.clamp.default, aten.neg.default,
)  # fmt: skip
OVER_SPACE = (
    aten.max_pool2d_with_indices.default, aten.avg_pool2d.default, aten._adaptive_avg_pool2d.default,
    aten.adaptive_max_pool2d.default, aten.upsample_nearest2d.default, aten.upsample_bilinear2d.default,
)  # fmt: skip
MOVED = (
    aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.permute.default, aten.transpose.int,
    aten.t.default, aten.unsqueeze.default, aten.squeeze.dim, aten.cat.default, aten.expand.default,
    aten.slice.Tensor,
)  # fmt: skip
UNCHANGED = (
    aten.clone.default,
    aten.detach.default,
    aten.alias.default,
    aten._to_copy.default,
    aten.contiguous.default,
)

RULES: dict[Any, Rule] = {
    aten.convolution.default: convolution,
    aten.addmm.default: matrix_product,
    aten.mm.default: matrix_product,
    aten.bmm.default: batched_product,
    aten.baddbmm.default: batched_product,
    aten.native_batch_norm.default: batch_norm,
    aten.cudnn_batch_norm.default: batch_norm,
    aten._native_batch_norm_legit_no_training.default: batch_norm,
    aten.mean.dim: mean,
    aten.mean.default: mean,
    **dict.fromkeys(POINTWISE, pointwise),
    **dict.fromkeys(OVER_SPACE, over_space),
    **dict.fromkeys(MOVED, moved),
    aten.constant_pad_nd.default: padded,
    **dict.fromkeys(UNCHANGED, unchanged),
}
