"""From the trace: which indices of which tensors must leave together.

Every index along every axis of every parameter and buffer is a *node*. Walking through the trace, each activation
carries labels: for an axis that parameters shaped, the node of every index along it. Contractions (convolution,
matrix product) tie the labels they meet to the weight's input axis and hand on its output axis; pointwise operations
tie their operands; pure data movement is *run on the labels*, so the operation itself says where each channel went.
The connected components of these ties are what leaves together. What no rule covers is frozen with a reason.

The rules themselves are in rules.py.
"""

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from windfirm.prune.rules import NOBODY, RULES, Contraction
from windfirm.prune.trace import Ref, Trace

Nodes = npt.NDArray[np.int64]
Labels = dict[int, Nodes]
Role = Literal["out", "in", "along"]


@dataclass(frozen=True)
class Axis:
    """One axis of one parameter or buffer; its nodes are ``start … start + size - 1``."""

    tensor: str
    axis: int
    start: int
    size: int


@dataclass(frozen=True)
class Coupling:
    """The outcome: a component number and a role for every node, reasons for frozen components, all contractions."""

    axes: tuple[Axis, ...]
    component: Nodes
    roles: tuple[Role, ...]
    frozen: Mapping[int, str]
    contractions: tuple[Contraction, ...]


class Coupler:
    """The state of the walk through a trace: what rules read and write."""

    def __init__(self, trace: Trace) -> None:
        self.labels: dict[int, Labels] = {}
        self.axes: list[Axis] = []
        self.contractions: list[Contraction] = []
        self.batch = trace.inputs[0].shape[0] if trace.inputs and trace.inputs[0].shape else 1
        self._ties: list[tuple[Nodes, Nodes]] = []
        self._freezes: list[tuple[Nodes, str]] = []
        self._roles: dict[int, set[Role]] = {}
        self._starts: list[int] = []
        self._count = 0
        for name, ref in trace.parameters.items():
            self.labels[ref.key] = {axis: self._allocate(name, axis, size) for axis, size in enumerate(ref.shape)}

    def _allocate(self, tensor: str, axis: int, size: int) -> Nodes:
        self.axes.append(Axis(tensor, axis, self._count, size))
        self._starts.append(self._count)
        self._count += size
        return np.arange(self._count - size, self._count, dtype=np.int64)

    def of(self, ref: Ref | None) -> Labels:
        """The labelled axes of a tensor; none for an absent one."""
        return self.labels.get(ref.key, {}) if ref is not None else {}

    def give(self, ref: Ref, labels: Labels) -> None:
        """Label the axes of a result."""
        self.labels[ref.key] = labels

    def tie(self, a: Nodes, b: Nodes, reason: str) -> None:
        """These indices leave together, pair by pair; one that meets NOBODY cannot leave at all, for ``reason``."""
        lonely = (a == NOBODY) | (b == NOBODY)
        self.freeze(np.concatenate((a[lonely], b[lonely])), reason)
        self._ties.append((a[~lonely], b[~lonely]))

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
        for start in {self._starts[bisect_right(self._starts, int(node)) - 1] for node in nodes if node != NOBODY}:
            self._roles.setdefault(start, set()).add(role)

    def owner(self, nodes: Nodes) -> str | None:
        """The parameter or buffer whose axis these nodes are, when it is a single one."""
        names = {self.axes[bisect_right(self._starts, int(node)) - 1].tensor for node in nodes if node != NOBODY}
        return names.pop() if len(names) == 1 else None

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
            for number in np.unique(component[nodes]):
                frozen.setdefault(int(number), reason)
        return Coupling(tuple(self.axes), component, tuple(roles), frozen, tuple(self.contractions))


def couple(trace: Trace) -> Coupling:
    """Walk through the trace once, apply the rule of every operation, and join what was tied."""
    coupler = Coupler(trace)
    for call in trace.calls:
        rule = RULES.get(call.op)
        if rule is None:
            for ref in call.inputs:
                coupler.freeze_all(ref, f"no rule for {call.op} in {call.where}")
        else:
            rule(coupler, call)
    for ref in trace.outputs:
        coupler.freeze_all(ref, "an output of the network")
    return coupler.finish()
