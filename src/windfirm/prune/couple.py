"""From the trace: which indices of which tensors must leave together.

Every index along every axis of every parameter and buffer is a *node*. Walking through the trace, each activation
carries labels: for an axis that parameters shaped, the node of every index along it. Contractions (convolution,
matrix product) tie the labels they meet to the weight's input axis and hand on its output axis; pointwise operations
tie their operands; pure data movement is *run on the labels*, so the operation itself says where each channel went.
The connected components of these ties are what leaves together. What no rule covers is frozen with a reason.

Where channels are divided into groups (grouped convolutions, attention heads, channel shuffles), either whole groups
can leave or the same part of each. Each such place is a *choice*; couple tries the next option where one leaves
nothing that could go.

The rules themselves are in rules/.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from windfirm.prune.coupling import NOBODY, Coupler, Coupling, Labels, Site
from windfirm.prune.rules import RULES
from windfirm.prune.rules.base import give_up
from windfirm.prune.trace import Call, Ref, Trace


def couple(trace: Trace, options: Mapping[Site, int], training: Trace | None) -> Coupling:
    """Walk through the trace and join what was tied, with the choices that let most leave, beginning at ``options``.

    ``training`` is a trace of the same network in training mode, where heads may run that evaluation does not see:
    what is tied there leaves together as well.
    """
    options = dict(options)
    while True:
        coupler = Coupler(trace, options)
        if training is not None:
            coupler.adopt(training)
            _walk(coupler, training)
            coupler.forget()
        _walk(coupler, trace)
        coupling = coupler.finish()
        stuck = other_options(coupling, np.flatnonzero(~_free(coupling)).tolist(), only=True)
        if not stuck:
            return coupling
        options |= stuck


def other_options(coupling: Coupling, components: Sequence[int], *, only: bool = False) -> dict[Site, int]:
    """The next option of every choice that concerns these components (``only``: no others) and has one left."""
    concerned = np.zeros(int(coupling.component.max(initial=-1)) + 1, bool)
    concerned[list(components)] = True
    test = np.all if only else np.any
    return {
        site: coupling.options.get(site, 0) + 1
        for site, (count, nodes) in coupling.sites.items()
        if coupling.options.get(site, 0) + 1 < count and test(concerned[coupling.component[nodes]])
    }


def _walk(coupler: Coupler, trace: Trace) -> None:
    views: dict[int, list[Ref]] = {}
    for ref in trace.parameters.values():
        views.setdefault(ref.storage, []).append(ref)
    for call in trace.calls:
        rule = RULES.get(call.op)
        inputs = call.inputs
        if all(ref.key in coupler.fixed for ref in inputs):
            coupler.fixed.update(ref.key for ref in call.outputs)
        else:
            coupler.fixed.difference_update(ref.key for ref in trace.overwritten(call))
        if call.module in trace.opaque:
            _stays(coupler, call, f"{call.module} is recurrent, and cannot be followed")
        elif rule is not None:
            if inputs and all(ref.key in coupler.uniform for ref in inputs):
                coupler.uniform.update(ref.key for ref in call.outputs)  # unless the rule knows better
            rule(coupler, call)
        else:
            _stays(coupler, call, f"no rule for {call.op} in {call.where}")
        if call.op._schema.is_mutable:
            for ref in call.outputs:
                _unsettle(coupler, ref, [view for view in views.get(ref.storage, ()) if view != inputs[0]])
                if not _same(coupler.of(ref), coupler.of(inputs[0])):
                    _wrote(coupler, call, ref, views.get(ref.storage, ()))
        for ref in call.outputs:
            views.setdefault(ref.storage, []).append(ref)
    for ref in (*(ref for call in trace.calls for ref in call.inputs), *trace.outputs):
        if ref.key in coupler.places:
            coupler.freeze(*coupler.places[ref.key])
    for ref in trace.outputs:
        coupler.freeze_all(ref, "an output of the network")


def _stays(coupler: Coupler, call: Call, reason: str) -> None:
    """Nothing that reaches the call can leave, and what it multiplies stays as much."""
    give_up(coupler, call, reason)
    coupler.count(call)


def _same(a: Labels, b: Labels) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[axis], b[axis]) for axis in a)


def _wrote(coupler: Coupler, call: Call, written: Ref, views: Sequence[Ref]) -> None:
    """Every other tensor in the memory that was written to holds the new values now."""
    for axis, nodes in coupler.of(written).items():
        for view in views:
            if view.key == written.key:
                continue
            if view.shape == written.shape and view.strides == written.strides:
                if view.offset == written.offset:  # the same part, as it was before
                    coupler.labels.setdefault(view.key, {}).setdefault(axis, nodes)
                continue
            # The axis of the view that steps through memory as the written one does, and where it starts there.
            stride = written.strides[axis]
            start = (written.offset - view.offset) // stride if stride else 0
            same = [i for i, s in enumerate(view.strides) if s == stride and view.shape[i] >= start + len(nodes)]
            if len(same) != 1 or start < 0:
                coupler.freeze(nodes, f"{call.op} in {call.where} writes into a part of a tensor")
                continue
            known = coupler.of(view).get(same[0])
            labels = np.full(view.shape[same[0]], NOBODY, np.int64) if known is None else known.copy()
            start %= view.shape[same[0]]
            labels[start : start + len(nodes)] = nodes
            coupler.labels.setdefault(view.key, {})[same[0]] = labels


def _unsettle(coupler: Coupler, written: Ref, views: Sequence[Ref]) -> None:
    """Along the axes on which a write reached a part alone, or wrote several values, a constant is one no longer."""
    even = range(len(written.shape)) if written.key in coupler.uniform else coupler.spread.get(written.key, ())
    whole = [(written.shape[axis], written.strides[axis]) for axis in even]
    for view in views:
        if view.key in coupler.uniform or view.key in coupler.spread:
            before = range(len(view.shape)) if view.key in coupler.uniform else coupler.spread[view.key]
            coupler.spread[view.key] = {axis for axis in before if (view.shape[axis], view.strides[axis]) in whole}
            if len(coupler.spread[view.key]) < len(view.shape):
                coupler.uniform.discard(view.key)


def _free(coupling: Coupling) -> npt.NDArray[np.bool_]:
    """Which components could leave: not frozen, made and read by some layer, with others like them to stay behind."""
    count = int(coupling.component.max(initial=-1)) + 1
    made = np.zeros(count, bool)
    alone = np.ones(count, bool)
    for axis, role in zip(coupling.axes, coupling.roles, strict=True):
        components = coupling.component[axis.nodes]
        made[components] |= role == "out"
        if role == "out" and len(np.unique(components)) > 1:
            alone[components] = False
    read = np.zeros(count, bool)
    read[list(coupling.read)] = True
    free = made & read & ~alone
    free[list(coupling.frozen)] = False
    return free
