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

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from windfirm.prune.rules import RULES
from windfirm.prune.rules.base import NOBODY, Contraction, Labels, Nodes
from windfirm.prune.trace import Call, Place, Ref, Trace

Role = Literal["out", "in", "along"]

#: The call, and the how many-th choice in it.
Site = tuple[int, int]


@dataclass(frozen=True)
class Axis:
    """One axis of one parameter or buffer; its nodes are ``start … start + size - 1``."""

    tensor: str
    axis: int
    start: int
    size: int


@dataclass(frozen=True)
class Reading:
    """Where channels are read: at ``place``, along ``axis`` of the argument of that number."""

    place: Place
    argument: int
    axis: int
    nodes: Nodes


@dataclass(frozen=True)
class Mixing:
    """Where an operation looks along an axis, as a normalisation does; it has to look at what stays only.

    ``keeps``: its result has the axis as well. ``changes``: what it computes for the others is not what it was.
    """

    place: Place
    axis: int
    nodes: Nodes
    keeps: bool
    changes: bool


@dataclass(frozen=True)
class Coupling:
    """The outcome of the walk.

    A component number and a role for every node, reasons for frozen components, the components that something reads,
    all contractions, readings and mixings, the labels of every tensor, and for calls that state a number of groups
    that number with one node for each group (None: the number stays); the choices with the number of their options
    and the nodes they concern, and which option each has; the tensors, and axes of tensors, that are one value.
    """

    axes: tuple[Axis, ...]
    component: Nodes
    roles: tuple[Role, ...]
    frozen: Mapping[int, str]
    read: frozenset[int]
    contractions: tuple[Contraction, ...]
    readings: tuple[Reading, ...]
    mixings: tuple[Mixing, ...]
    labels: Mapping[int, Labels]
    numbers: Mapping[int, tuple[int, Nodes | None]]
    sites: Mapping[Site, tuple[int, Nodes]]
    options: Mapping[Site, int]
    uniform: frozenset[int]
    spread: Mapping[int, set[int]]


class Coupler:
    """The state of the walk through a trace: what rules read and write."""

    def __init__(self, trace: Trace, options: Mapping[Site, int]) -> None:
        self.labels: dict[int, Labels] = {}
        self.fixed: set[int] = set()  # tensors that are computed from parameters and buffers alone
        self.uniform: set[int] = set()  # tensors that hold one value everywhere, of whatever size is wanted
        self.spread: dict[int, set[int]] = {}  # axes along which a tensor is one value, of whatever size is wanted
        self.axes: list[Axis] = []
        self.contractions: list[Contraction] = []
        self.numbers: dict[int, tuple[int, Nodes | None]] = {}
        self.sites: dict[Site, tuple[int, Nodes]] = {}
        self.batch = trace.inputs[0].shape[0] if trace.inputs and trace.inputs[0].shape else 1
        self._options = options
        self._readings: list[Reading] = []
        self._mixings: list[Mixing] = []
        self._ties: list[tuple[Nodes, Nodes]] = []
        self._freezes: list[tuple[Nodes, str]] = []
        self._roles: dict[int, set[Role]] = {}
        self._starts: list[int] = []
        self._count = 0
        self._turns: Counter[int] = Counter()
        self._trace = trace
        for name, ref in trace.parameters.items():
            self.labels[ref.key] = {axis: self._allocate(name, axis, size) for axis, size in enumerate(ref.shape)}
            self.fixed.add(ref.key)

    def adopt(self, trace: Trace) -> None:
        """Give the parameters and buffers of another trace of the same network the nodes that they have."""
        nodes = {(axis.tensor, axis.axis): np.arange(axis.start, axis.start + axis.size) for axis in self.axes}
        for name, ref in trace.parameters.items():
            self.labels[ref.key] = {axis: nodes[name, axis] for axis in range(len(ref.shape))}
            self.fixed.add(ref.key)

    def forget(self) -> None:
        """Keep of the walk so far what is tied and frozen, and not what was counted and read."""
        self.contractions, self._readings, self._mixings = [], [], []

    def _allocate(self, tensor: str, axis: int, size: int) -> Nodes:
        self.axes.append(Axis(tensor, axis, self._count, size))
        self._starts.append(self._count)
        self._count += size
        return np.arange(self._count - size, self._count, dtype=np.int64)

    def of(self, ref: Ref | None) -> Labels:
        """The labelled axes of a tensor; none for an absent one."""
        return self.labels.get(ref.key, {}) if ref is not None else {}

    def source(self, weight: Ref) -> Labels:
        """The labels of the parameter of its shape that a weight is computed from; none where there is no such one."""
        origins = self._trace.origins.get(weight.key, frozenset())
        alike = (ref for ref in self._trace.parameters.values() if ref.key in origins and ref.shape == weight.shape)
        return self.of(next(alike, None))

    def give(self, ref: Ref, labels: Labels) -> None:
        """Label the axes of a result."""
        self.labels[ref.key] = labels

    def tie(self, a: Nodes, b: Nodes, reason: str) -> None:
        """These indices leave together, pair by pair; one that meets NOBODY cannot leave at all, for ``reason``."""
        if a is b:
            return
        lonely = (a == NOBODY) | (b == NOBODY)
        if lonely.any():
            self.freeze(np.concatenate((a[lonely], b[lonely])), reason)
            a, b = a[~lonely], b[~lonely]
        self._ties.append((a, b))

    def freeze(self, nodes: Nodes, reason: str) -> None:
        """These indices cannot leave, for ``reason``."""
        nodes = nodes[nodes != NOBODY]
        if len(nodes):
            self._freezes.append((nodes, reason))

    def freeze_all(self, ref: Ref, reason: str) -> None:
        """No index of any labelled axis of this tensor can leave."""
        for nodes in self.of(ref).values():
            self.freeze(nodes, reason)

    def role(self, nodes: Nodes, role: Role) -> None:
        """What an operation uses the axis of a weight for: "out" makes channels, "in" reads them."""
        for start in self._owners(nodes):
            self._roles.setdefault(self._starts[start], set()).add(role)

    def read(self, call: Call, argument: int, axis: int, nodes: Nodes) -> None:
        """The call reads channels along ``axis`` of its argument of that number."""
        self._readings.append(Reading(call.place, argument, axis, nodes))

    def mix(self, call: Call, axis: int, nodes: Nodes, changed: Sequence[int], *, keeps: bool) -> None:
        """The call looks along ``axis`` of its first argument; see Mixing."""
        self._mixings.append(Mixing(call.place, axis, nodes, keeps, bool(changed)))

    def choose(self, call: Call, nodes: Nodes, count: int) -> int:
        """Which of ``count`` ways to divide ``nodes`` is tried now."""
        site = (call.number, self._turns[call.number])
        self._turns[call.number] += 1
        self.sites[site] = (count, np.unique(nodes[nodes != NOBODY]))
        return self._options.get(site, 0) % count

    def _owners(self, nodes: Nodes) -> set[int]:
        return set((np.searchsorted(self._starts, nodes[nodes != NOBODY], "right") - 1).tolist())

    def finish(self) -> Coupling:
        """Join what was tied."""
        left = np.concatenate([a for a, _ in self._ties]) if self._ties else np.empty(0, np.int64)
        right = np.concatenate([b for _, b in self._ties]) if self._ties else np.empty(0, np.int64)
        graph = coo_array((np.ones(len(left), bool), (left, right)), (self._count, self._count))
        component = connected_components(graph, directed=False)[1].astype(np.int64)
        roles: list[Role] = []
        for axis in self.axes:
            known = self._roles.get(axis.start, {"along"})
            roles.append("along" if len(known) > 1 else next(iter(known)))
            if known == {"in", "out"}:
                nodes = np.arange(axis.start, axis.start + axis.size)
                self.freeze(nodes, f"{axis.tensor} both makes and reads these channels")
        frozen: dict[int, str] = {}
        for nodes, reason in self._freezes:
            for number in np.unique(component[nodes]).tolist():
                frozen.setdefault(number, reason)
        seen = [r.nodes for r in self._readings] + [m.nodes for m in self._mixings if not m.keeps]
        read = frozenset(n for nodes in seen for n in set(component[nodes[nodes != NOBODY]].tolist()))
        return Coupling(
            tuple(self.axes), component, tuple(roles), frozen, read, tuple(self.contractions),
            tuple(self._readings), tuple(self._mixings), self.labels, self.numbers, self.sites, dict(self._options),
            frozenset(self.uniform), self.spread,
        )  # fmt: skip


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
        if call.module in trace.opaque:
            for ref in inputs:
                coupler.freeze_all(ref, f"{call.module} is recurrent, and cannot be followed")
        elif rule is not None:
            rule(coupler, call)
            if inputs and all(ref.key in coupler.uniform for ref in inputs):
                coupler.uniform.update(ref.key for ref in call.outputs)
        elif any(coupler.of(ref) for ref in inputs):
            for ref in inputs:
                coupler.freeze_all(ref, f"no rule for {call.op} in {call.where}")
        if call.op._schema.is_mutable:
            for ref in call.outputs:
                if not _same(coupler.of(ref), coupler.of(inputs[0])):
                    _wrote(coupler, call, ref, views.get(ref.storage, ()))
        for ref in call.outputs:
            views.setdefault(ref.storage, []).append(ref)
    for ref in trace.outputs:
        coupler.freeze_all(ref, "an output of the network")


def _same(a: Labels, b: Labels) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[axis], b[axis]) for axis in a)


def _wrote(coupler: Coupler, call: Call, written: Ref, views: Sequence[Ref]) -> None:
    """Every other tensor in the memory that was written to holds the new values now."""
    for axis, nodes in coupler.of(written).items():
        for view in views:
            if view.key == written.key or (view.shape == written.shape and view.strides == written.strides):
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
            coupler.uniform.discard(view.key)


def _free(coupling: Coupling) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Which components could leave: not frozen, made and read by some layer, with others like them to stay behind."""
    count = int(coupling.component.max(initial=-1)) + 1
    made = np.zeros(count, bool)
    alone = np.ones(count, bool)
    for axis, role in zip(coupling.axes, coupling.roles, strict=True):
        components = coupling.component[axis.start : axis.start + axis.size]
        made[components] |= role == "out"
        if role == "out" and len(np.unique(components)) > 1:
            alone[components] = False
    read = np.zeros(count, bool)
    read[list(coupling.read)] = True
    free = made & read & ~alone
    free[list(coupling.frozen)] = False
    return free
