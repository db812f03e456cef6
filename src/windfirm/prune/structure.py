"""What can go: filter groups, each unit of which is a set of indices that leave together.

A filter group is one set of channels with all that is tied to it: the filters that make them, the normalisations that
scale them, the layers that read them. Residual additions make one group of a whole ResNet stage.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal

from torch import Tensor, nn

from windfirm.models.shrink import Kept
from windfirm.prune.couple import Coupling, Role, couple
from windfirm.prune.rules import Contraction
from windfirm.prune.trace import trace


@dataclass(frozen=True)
class Slice:
    """The part of one tensor that belongs to a structure: ``indices[i]`` along ``axis`` go with its i-th unit.

    ``role`` says what the axis does: "out" makes the channels, "in" reads them, "along" passes them on one by one.
    """

    tensor: str
    axis: int
    size: int
    role: Role
    indices: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Structure:
    """Something that leaves as a whole, unit by unit. Equal to another one of the same name, kind and size.

    ``frozen`` is the reason why nothing of it can leave, or None.
    """

    name: str
    kind: Literal["filters"]
    size: int
    slices: tuple[Slice, ...] = field(compare=False, repr=False)
    frozen: str | None = field(default=None, compare=False)

    @property
    def producers(self) -> tuple[Slice, ...]:
        """The slices of the weights that make these channels, in the order of the forward pass."""
        return tuple(piece for piece in self.slices if piece.role == "out")


@dataclass(frozen=True)
class Anatomy:
    """A network's structures, its convolutions and matrix products, and the shapes of its parameters and buffers."""

    structures: tuple[Structure, ...]
    contractions: tuple[Contraction, ...]
    shapes: Mapping[str, tuple[int, ...]]
    parameters: tuple[str, ...]

    def macs(self, kept: Kept | None = None) -> int:
        """Multiply-adds for one image when only ``kept`` is left: each weight's count shrinks with its axes."""
        total = 0
        for contraction in self.contractions:
            macs = contraction.macs
            for axis, indices in (kept or {}).get(contraction.weight, {}).items():
                macs = macs * len(indices) // self.shapes[contraction.weight][axis]
            total += macs
        return total

    def params(self, kept: Kept | None = None) -> int:
        """Numbers in all parameters when only ``kept`` is left; buffers do not count."""
        total = 0
        for name in self.parameters:
            sizes = dict(enumerate(self.shapes[name])) | {a: len(i) for a, i in (kept or {}).get(name, {}).items()}
            total += prod(sizes.values())
        return total

    def named(self, name: str) -> Structure:
        """The structure of that name. Raises KeyError when there is none."""
        return next(s for s in self.structures if s.name == name)


def anatomy(model: nn.Module, example_inputs: Tensor | Sequence[Tensor]) -> Anatomy:
    """Trace and couple ``model`` and gather what leaves together into structures.

    Raises TraceError when the forward pass does not run on ``example_inputs``.
    """
    traced = trace(model, example_inputs)
    coupling = couple(traced)
    shapes = {name: ref.shape for name, ref in traced.parameters.items()}
    parameters = tuple(name for name, _ in model.named_parameters())
    return Anatomy(tuple(_structures(coupling)), coupling.contractions, shapes, parameters)


def structures(model: nn.Module, example_inputs: Tensor | Sequence[Tensor]) -> tuple[Structure, ...]:
    """Every structure of ``model``, frozen ones with their reason. See anatomy for errors."""
    return anatomy(model, example_inputs).structures


def _structures(coupling: Coupling) -> list[Structure]:
    # For each component: which indices of which axes are in it.
    members: dict[int, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, axis in enumerate(coupling.axes):
        for index, component in enumerate(coupling.component[axis.start : axis.start + axis.size]):
            members[int(component)][number].append(index)
    # Components that touch the same axes are the units of one structure.
    groups: dict[tuple[tuple[int, ...], str | None], list[int]] = defaultdict(list)
    for component, parts in members.items():
        if any(coupling.roles[number] == "out" for number in parts):
            groups[tuple(sorted(parts)), coupling.frozen.get(component)].append(component)
    found: list[Structure] = []
    seen: dict[str, int] = defaultdict(int)
    for (numbers, reason), components in groups.items():
        slices = tuple(
            Slice(
                coupling.axes[number].tensor,
                coupling.axes[number].axis,
                coupling.axes[number].size,
                coupling.roles[number],
                tuple(tuple(members[component][number]) for component in components),
            )
            for number in numbers
        )
        name = next(piece.tensor for piece in slices if piece.role == "out").removesuffix(".weight")
        seen[name] += 1
        name = name if seen[name] == 1 else f"{name}#{seen[name]}"
        found.append(Structure(name, "filters", len(components), slices, reason or _unread(slices)))
    return found


def _unread(slices: tuple[Slice, ...]) -> str | None:
    return None if any(piece.role == "in" for piece in slices) else "no layer reads these channels"
