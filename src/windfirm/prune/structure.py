"""What can go: filter groups, each unit of which is a set of indices that leave together, and residual blocks.

A filter group is one set of channels with all that is tied to it: the filters that make them, the normalisations that
scale them, the layers that read them. Residual additions make one group of a whole ResNet stage. A block is a residual
branch: all of it leaves, and what it was added to goes on alone.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Literal

import numpy as np
import numpy.typing as npt
from torch import nn

from windfirm import seeds
from windfirm.models.device import default_modes
from windfirm.models.inputs import Inputs
from windfirm.models.shrink import Kept
from windfirm.prune.couple import couple
from windfirm.prune.coupling import Coupling, Nodes, Role, Site
from windfirm.prune.trace import Trace
from windfirm.prune.watch import Place

Kind = Literal["filters", "block"]
Mask = npt.NDArray[np.bool_]


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

    ``frozen`` is the reason why nothing of it can leave, or None. A block is one unit; its ``slices`` are the filters
    inside, ``replaced`` says which modules leave and what stands in for each. ``silent`` tells where a residual branch
    was read (the call, and the number of its argument), ``bypassed`` between which calls a layer of a plain chain lay.
    ``stage`` is the shape of what is left in its place: blocks of one shape are a stage.
    """

    name: str
    kind: Kind
    size: int
    slices: tuple[Slice, ...] = field(compare=False, repr=False)
    frozen: str | None = field(default=None, compare=False)
    replaced: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)
    silent: tuple[Place, int] | None = field(default=None, compare=False, repr=False)
    bypassed: tuple[Place, Place] | None = field(default=None, compare=False, repr=False)
    stage: tuple[int, ...] | None = field(default=None, compare=False, repr=False)

    @property
    def producers(self) -> tuple[Slice, ...]:
        """The slices of the weights that make these channels, in the order of the forward pass."""
        return tuple(piece for piece in self.slices if piece.role == "out")


Removed = Mapping[Structure, Sequence[int]]


@dataclass(frozen=True)
class Anatomy:
    """A network's structures, and what is needed to count what is left of it: its trace and its coupling.

    ``parameters``: each by the names under which modules hold it, of which a tied one has several.
    """

    structures: tuple[Structure, ...]
    traced: Trace
    coupling: Coupling
    parameters: tuple[tuple[str, ...], ...]

    @cached_property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of every parameter and buffer."""
        return {name: ref.shape for name, ref in self.traced.parameters.items()}

    def macs(self, removed: Removed | None = None) -> int:
        """Multiply-adds for one image without the units ``removed``."""
        mask = gone(self.coupling, kept_without(removed or {}))
        blocks = _replaced(removed or {})
        total = 0
        for contraction in self.coupling.contractions:
            if not inside(contraction.module, blocks):
                sizes = prod(map(len, contraction.factors))
                stay = prod(len(nodes) - int(mask[nodes].sum()) for nodes in contraction.factors)
                total += contraction.macs * stay // sizes if sizes else contraction.macs
        return total

    def params(self, removed: Removed | None = None) -> int:
        """Numbers in all parameters without the units ``removed``; buffers do not count.

        A parameter leaves with the last of the modules that hold it.
        """
        kept, blocks = kept_without(removed or {}), _replaced(removed or {})
        total = 0
        for name, *others in self.parameters:
            if not all(inside(each, blocks) for each in (name, *others)):
                sizes = dict(enumerate(self.shapes[name])) | {a: len(i) for a, i in kept.get(name, {}).items()}
                total += prod(sizes.values())
        return total

    def named(self, name: str) -> Structure:
        """The structure of that name. Raises KeyError when there is none."""
        for structure in self.structures:
            if structure.name == name:
                return structure
        raise KeyError(name)


def kept_without(removed: Removed) -> Kept:
    """What stays of every tensor that shrinks when those units leave; blocks leave whole and shrink nothing."""
    leaving: dict[tuple[str, int, int], set[int]] = defaultdict(set)
    for structure, units in removed.items():
        for piece in structure.slices if structure.kind == "filters" else ():
            leaving[piece.tensor, piece.axis, piece.size].update(*(piece.indices[unit] for unit in units))
    kept: Kept = {}
    for (tensor, axis, size), indices in leaving.items():
        if indices:
            kept.setdefault(tensor, {})[axis] = sorted(set(range(size)) - indices)
    return kept


def gone(coupling: Coupling, kept: Kept) -> Mask:
    """For every node whether it left, and at the end False for NOBODY."""
    mask = np.zeros(len(coupling.component) + 1, bool)
    for axis in coupling.axes:
        indices = kept.get(axis.tensor, {}).get(axis.axis)
        if indices is not None:
            mask[axis.nodes] = True
            mask[axis.start + np.asarray(indices, np.int64)] = False
    return mask


@default_modes()
@seeds.kept()
def anatomy(model: nn.Module, example_inputs: Inputs, *, plain: bool = False) -> Anatomy:
    """Trace and couple ``model``, gather what leaves together into structures, and try each on the meta device.

    With ``plain``, layers of plain chains that keep the shape are blocks as well; see plain_layers.
    Raises TraceError when the forward pass does not run on ``example_inputs``.
    """
    # They try structures on the network, and so come after them.
    from windfirm.prune.blocks import blocks
    from windfirm.prune.layers import plain_layers
    from windfirm.prune.rehearse import groups

    body = groups(model, example_inputs)
    body = replace(body, structures=(*body.structures, *blocks(model, example_inputs, body)))
    layers = plain_layers(model, example_inputs, body) if plain else []
    return replace(body, structures=(*body.structures, *layers))


def grouped(model: nn.Module, traced: Trace, options: Mapping[Site, int], training: Trace | None) -> Anatomy:
    """The filter groups that follow from trace and coupling alone; sizes written into the code are not noticed."""
    coupling = couple(traced, options, training)
    parameters = tuple(_holders(model))
    idle = set(traced.idle if training is None else training.idle).intersection(traced.idle)
    unseen = {name: traced.parameters[name].shape for name, *_ in parameters if name in idle}
    found = (*_structures(coupling), *(_unseen(name, shape) for name, shape in unseen.items() if len(shape) > 1))
    return Anatomy(found, traced, coupling, parameters)


def _holders(model: nn.Module) -> list[tuple[str, ...]]:
    """The names of every parameter, one for each module that holds it; a module has one name, whatever others it has.

    The first is that of named_parameters.
    """
    names: dict[int, list[str]] = defaultdict(list)
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(path, recurse=False, remove_duplicate=False):
            names[id(parameter)].append(name)
    return [tuple(same) for same in names.values()]


def structures(model: nn.Module, example_inputs: Inputs, *, plain: bool = False) -> tuple[Structure, ...]:
    """Every structure of ``model``, frozen ones with their reason. See anatomy for ``plain`` and errors."""
    return anatomy(model, example_inputs, plain=plain).structures


def _structures(coupling: Coupling) -> list[Structure]:
    """Components that a layer makes, and that touch the same axes for the same reason, are units of one structure."""
    component = coupling.component
    spans = [component[axis.nodes] for axis in coupling.axes]
    made = np.zeros(int(component.max(initial=-1)) + 1, bool)
    touched = np.zeros(len(made), np.uint64)  # for every component a sum of keys, one for each axis that it touches
    keys = np.random.default_rng(0).integers(0, 2**63, len(spans), np.uint64)
    for span, role, key in zip(spans, coupling.roles, keys, strict=True):
        made[span] |= role == "out"
        touched[np.unique(span)] += key
    groups: dict[tuple[int, str | None], list[int]] = defaultdict(list)
    order = np.unique(component, return_index=True)[1].argsort()
    for number in order[made[order]].tolist():
        groups[int(touched[number]), coupling.frozen.get(number)].append(number)
    group = np.full(len(made), -1)
    unit = np.zeros(len(made), np.int64)
    for i, numbers in enumerate(groups.values()):
        group[numbers] = i
        unit[numbers] = np.arange(len(numbers))
    slices: list[list[Slice]] = [[] for _ in groups]
    for axis, role, span in zip(coupling.axes, coupling.roles, spans, strict=True):
        for i in np.unique(group[span]).tolist():
            if i >= 0:
                indices = np.flatnonzero(group[span] == i)
                slices[i].append(Slice(axis.tensor, axis.axis, axis.size, role, _by_unit(indices, unit[span[indices]])))
    found: list[Structure] = []
    seen: dict[str, int] = defaultdict(int)
    for (_, reason), numbers, pieces in zip(groups, groups.values(), slices, strict=True):
        name = next(piece.tensor for piece in pieces if piece.role == "out").removesuffix(".weight")
        seen[name] += 1
        name = name if seen[name] == 1 else f"{name}#{seen[name]}"
        if reason is None and not coupling.read.intersection(numbers):
            reason = "no layer reads these channels"
        found.append(Structure(name, "filters", len(numbers), tuple(pieces), reason))
    return found


def _unseen(weight: str, shape: tuple[int, ...]) -> Structure:
    """The filters of a layer that ran in neither pass: nothing is known of who reads them."""
    return Structure(weight.removesuffix(".weight"), "filters", shape[0], (), "it did not run on the example")


def _by_unit(indices: Nodes, units: Nodes) -> tuple[tuple[int, ...], ...]:
    """The indices of every unit, ascending."""
    counts = np.bincount(units)
    ordered = indices[units.argsort(kind="stable")].tolist()
    if len(counts) == len(ordered):
        return tuple(zip(ordered, strict=True))
    ends = np.cumsum(counts).tolist()
    return tuple(tuple(ordered[start:end]) for start, end in zip([0, *ends], ends, strict=False))


def _replaced(removed: Removed) -> list[str]:
    return [path for structure, units in removed.items() if units for path in structure.replaced]


def inside(path: str, modules: Iterable[str]) -> bool:
    """Whether ``path`` is that of one of ``modules``, or of something inside one."""
    return any(path == module or path.startswith(f"{module}.") for module in modules)
