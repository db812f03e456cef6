"""What rules share: meeting of labels, freezing, the labels of one axis."""

from collections.abc import Callable, Iterable

import numpy as np

from windfirm.prune.coupling import NOBODY, Coupler, Nodes
from windfirm.prune.trace import Call, Ref

Rule = Callable[[Coupler, Call], None]


def nobody(size: int) -> Nodes:
    """The labels of an axis that no parameter shaped."""
    return np.full(size, NOBODY, np.int64)


def axis_of(c: Coupler, ref: Ref, axis: int) -> Nodes:
    """The labels of one axis, NOBODY where it has none."""
    nodes = c.of(ref).get(axis)
    return nobody(ref.shape[axis]) if nodes is None else nodes


def meet(c: Coupler, nodes: Iterable[Nodes], reason: str) -> Nodes:
    """Tie labels of one length to each other, pair by pair, and return what stands for them.

    Those of parameters, which are numbered first, stand for those of buffers: a mask makes no channels.
    """
    met: Nodes | None = None
    for other in nodes:
        if met is not None:
            c.tie(met, other, reason)
            other = np.where((met == NOBODY) | ((other != NOBODY) & (other < met)), other, met)
        met = other
    assert met is not None
    return met


def tie_rows(c: Coupler, rows: Nodes, reason: str) -> None:
    """All indices in a row of ``rows`` (n, m) leave together; one row does not concern another."""
    c.tie(rows[:, 1:].reshape(-1), np.repeat(rows[:, 0], rows.shape[1] - 1), reason)


def freeze_axes(c: Coupler, ref: Ref, axes: Iterable[int], reason: str) -> None:
    """No labelled index along these axes can leave."""
    for axis in axes:
        if axis in c.of(ref):
            c.freeze(c.of(ref)[axis], reason)


def vary(c: Coupler, call: Call, axes: Iterable[int]) -> None:
    """Of tensors that are one value everywhere, the results are so along all axes but these."""
    for out in call.outputs:
        if out.key in c.uniform:
            c.uniform.discard(out.key)
            c.spread[out.key] = set(range(len(out.shape))) - set(axes)


def give_up(c: Coupler, call: Call, reason: str) -> None:
    """Nothing that reaches this call can leave."""
    for ref in call.inputs:
        c.freeze_all(ref, reason)
