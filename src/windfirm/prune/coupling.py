"""What rules read and write on the walk through a trace, and what comes out of it; couple says what nodes are."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch.utils._pytree import tree_map_only

from windfirm.models.cost import multiply_adds
from windfirm.prune.trace import Call, Ref, Trace
from windfirm.prune.watch import Place

#: Numbers of nodes: one for each index along an axis of a parameter or buffer.
Nodes = npt.NDArray[np.int64]

#: Axis of a tensor → the node of every index along it.
Labels = dict[int, Nodes]

#: Marks an index that no parameter shaped, such as a channel that a constant pad added.
NOBODY = -1

#: What the axis of a tensor does: it makes channels, reads them, or passes them on one by one.
Role = Literal["out", "in", "along"]

#: The number of a call, and that of a choice in it, from 0.
Site = tuple[int, int]


@dataclass(frozen=True)
class Axis:
    """One axis of one parameter or buffer, and the number of its first node."""

    tensor: str
    axis: int
    start: int
    size: int

    @property
    def nodes(self) -> Nodes:
        """``start … start + size - 1``."""
        return np.arange(self.start, self.start + self.size, dtype=np.int64)


@dataclass(frozen=True)
class Contraction:
    """A convolution or product, for counting: its multiply-adds for one image.

    They shrink with the share of every entry of ``factors`` that stays.
    """

    module: str
    macs: int
    factors: tuple[Nodes, ...]


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

    ``component``: the number of every node's component; ``frozen``: component → why it cannot leave; ``read``: the
    components that something reads. ``roles``: what each of ``axes`` does. ``labels`` are those of every tensor, by the
    key of its Ref. ``numbers``: call → the number of groups that it states, and a node of each (None: the number
    stays). ``sites``: choice → how many options it has and which nodes it concerns; ``options``: the one that it has
    now, the first where nothing is said. ``uniform``: tensors that are one value everywhere; ``spread``: tensor → the
    axes along which it is.
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
        self.places: dict[int, tuple[Nodes, str]] = {}  # tensors that hold numbers of nodes: who reads one keeps those
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
        self._roles: dict[int, set[Role]] = {}  # by the number of the axis
        self._starts: list[int] = []
        self._count = 0
        self._turns: Counter[int] = Counter()
        self._trace = trace
        for name, ref in trace.parameters.items():
            self.labels[ref.key] = {axis: self._allocate(name, axis, size) for axis, size in enumerate(ref.shape)}
            self.fixed.add(ref.key)

    def adopt(self, trace: Trace) -> None:
        """Give the parameters and buffers of another trace of the same network the nodes that they have."""
        nodes = {(axis.tensor, axis.axis): axis.nodes for axis in self.axes}
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
        return self.axes[-1].nodes

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
        for number in set((np.searchsorted(self._starts, nodes[nodes != NOBODY], "right") - 1).tolist()):
            self._roles.setdefault(number, set()).add(role)

    def count(self, call: Call, factors: Iterable[Nodes] = ()) -> None:
        """Note what the call multiplies and adds; see Contraction."""
        args, kwargs, outputs = tree_map_only(Ref, lambda ref: ref.shape, (call.args, dict(call.kwargs), call.outputs))
        macs = multiply_adds(call.op, args, kwargs, outputs[0] if len(outputs) == 1 else outputs)
        if macs:
            self.contractions.append(Contraction(call.module, macs // self._images(call), tuple(factors)))

    def _images(self, call: Call) -> int:
        """For how many images a call works: a weight is made once, for all; what is repeated has a row for each."""
        repeated = any(ref.key in self.uniform or 0 in self.spread.get(ref.key, ()) for ref in call.inputs)
        weight = all(ref.key in self.fixed for ref in call.inputs) and call.module not in self._trace.opaque
        return 1 if weight and not repeated else self.batch

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

    def finish(self) -> Coupling:
        """Join what was tied."""
        left = np.concatenate([a for a, _ in self._ties]) if self._ties else np.empty(0, np.int64)
        right = np.concatenate([b for _, b in self._ties]) if self._ties else np.empty(0, np.int64)
        graph = coo_array((np.ones(len(left), bool), (left, right)), (self._count, self._count))
        component = connected_components(graph, directed=False)[1].astype(np.int64)
        roles: list[Role] = []
        for number, axis in enumerate(self.axes):
            known = self._roles.get(number, {"along"})
            roles.append("along" if len(known) > 1 else next(iter(known)))
            if known == {"in", "out"}:
                self.freeze(axis.nodes, f"{axis.tensor} both makes and reads these channels")
        frozen: dict[int, str] = {}
        for nodes, reason in self._freezes:
            for i in np.unique(component[nodes]).tolist():
                frozen.setdefault(i, reason)
        seen = [r.nodes for r in self._readings] + [m.nodes for m in self._mixings if not m.keeps]
        read = frozenset(n for nodes in seen for n in set(component[nodes[nodes != NOBODY]].tolist()))
        return Coupling(
            tuple(self.axes), component, tuple(roles), frozen, read, tuple(self.contractions),
            tuple(self._readings), tuple(self._mixings), self.labels, self.numbers, self.sites, dict(self._options),
            frozenset(self.uniform), self.spread,
        )  # fmt: skip
