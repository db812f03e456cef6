"""Sizes that the code states, and not the tensors: found by running the cut network on the meta device.

Labels say what shape every tensor of the smaller network must have. Where the first one differs, or the call fails,
a module holds a number (heads, groups, a width for a view) that has to change with the tensors: an attribute with the
old size gets the new one. Where no attribute helps, the number stands in the code, and the structures that reach the
call are frozen with the line that broke.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map_only

from windfirm.errors import CutError, TraceError, first_line
from windfirm.models.blueprint import Blueprint, Sizes, set_sizes, stand_in
from windfirm.models.meta import on_meta
from windfirm.models.shrink import shrink
from windfirm.prune.couple import Site, other_options
from windfirm.prune.structure import Anatomy, Mask, Structure, gone, grouped, kept_without
from windfirm.prune.trace import Call, Inputs, Ref, Trace, Watcher, arguments, output_shapes, plainly, shaped, trace

#: The shares of a structure's units that leave in a rehearsal: unequal ones, so that sizes which only happen to agree
#: do not hide each other.
SHARES = (0.5, 0.25, 0.4, 0.3)

#: Depending on strides and sizes, a reshape is a view or a copy and a view, and a slice of everything nothing at all.
COPIES = {getattr(torch.ops.aten, name).default for name in ("clone", "alias", "detach")}
SLICE = torch.ops.aten.slice.Tensor
VIEWS = {torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default}

#: Operation → which of its arguments is the number of groups.
GROUPS = {"aten.convolution.default": 8, "aten.native_group_norm.default": 6}


class Departure(Exception):  # noqa: N818 (a finding, not a mistake)
    """The forward pass departed from what the labels say at ``call``, because of ``reason``."""

    def __init__(self, call: Call, reason: str) -> None:
        super().__init__(reason)
        self.call = call
        self.reason = reason


@dataclass(frozen=True)
class _Plan:
    """The original, its trace, and which of its nodes leave."""

    model: nn.Module
    body: Anatomy
    mask: Mask

    def shape(self, ref: Ref) -> tuple[int, ...]:
        """The shape that a tensor of the original must have in the smaller network."""
        labels = self.body.coupling.labels.get(ref.key, {})
        lost = {axis: int(self.mask[nodes].sum()) for axis, nodes in labels.items()}
        return tuple(size - lost.get(axis, 0) for axis, size in enumerate(ref.shape))

    def fits(self, ref: Ref, shape: Sequence[int]) -> bool:
        """Whether the smaller network's tensor may have that shape.

        Where one value is repeated, any size will do; and where an axis has shrunk to one, it may stand elsewhere.
        """
        coupling = self.body.coupling
        anything = coupling.spread.get(ref.key, set())
        wanted = self.shape(ref)
        if 1 in wanted and sorted(wanted) == sorted(shape):
            return True
        return ref.key in coupling.uniform or all(
            a == b or axis in anything for axis, (a, b) in enumerate(zip(wanted, shape, strict=True))
        )

    def number(self, call: Call) -> tuple[int, int] | None:
        """The number of groups that the call states, and what it must be in the smaller network."""
        count, nodes = self.body.coupling.numbers.get(call.number, (0, None))
        return (count, count - int(self.mask[nodes].sum())) if nodes is not None else None

    def parts(self, call: Call) -> tuple[list[int], list[int]]:
        """The sizes that a split into several parts states, and what they must be in the smaller network."""
        if call.op is not torch.ops.aten.split_with_sizes.default:
            return [], []
        dim = call.argument("dim", 0)
        return [out.shape[dim] for out in call.outputs], [self.shape(out)[dim] for out in call.outputs]

    def changes(self, call: Call) -> dict[int, int]:
        """Old size → new size, of all that this call sees change; a size that becomes two others is left out."""
        found: dict[int, set[int]] = {}
        for ref in (*call.inputs, *call.outputs):
            for old, new in zip(ref.shape, self.shape(ref), strict=True):
                if old != new:
                    found.setdefault(old, set()).add(new)
        if number := self.number(call):
            found[number[0]] = {number[1]}
        return {old: new.pop() for old, new in found.items() if len(new) == 1}


class _Follower(Watcher):  # type: ignore[no-untyped-call]
    """Compares every call of the smaller network with its counterpart in the original."""

    def __init__(self, model: nn.Module, plan: _Plan) -> None:
        super().__init__(model)
        self.plan = plan
        self.number = 0

    def skip(self, func: Any) -> None:
        """Pass by the original's copies, and by slices that take everything now."""
        calls = self.plan.body.traced.calls
        while self.number < len(calls) and (call := calls[self.number]).op is not func:
            whole = call.op is SLICE and self.plan.shape(call.args[0]) == self.plan.shape(call.outputs[0])
            if call.op not in COPIES and not whole:
                return
            self.number += 1

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in COPIES:
            return func(*args, **(kwargs or {}))
        self.skip(func)
        calls = self.plan.body.traced.calls
        call = calls[min(self.number, len(calls) - 1)]
        if self.number >= len(calls) or (call.op is not func and not VIEWS.issuperset((call.op, func))):
            raise Departure(call, f"{func} in place of {call.op}")
        number = self.plan.number(call)
        if number and args[GROUPS[str(func)]] != number[1]:
            raise Departure(call, f"{args[GROUPS[str(func)]]} groups in place of {number[1]}")
        try:
            result = shaped(func, args, kwargs or {})
        except Exception as error:
            raise Departure(call, first_line(error)) from error
        leaves = [leaf for leaf in tree_flatten(result)[0] if isinstance(leaf, Tensor)]
        for ref, leaf in zip(call.outputs, leaves, strict=True):
            if not self.plan.fits(ref, leaf.shape):
                raise Departure(call, f"a tensor of shape {tuple(leaf.shape)} in place of {self.plan.shape(ref)}")
        self.number += 1
        return result


def rehearse(model: nn.Module, example_inputs: Inputs, blueprint: Blueprint, body: Anatomy) -> dict[str, Sizes]:
    """The attributes that have to change when ``blueprint`` is applied to ``model``, with their new values.

    Raises CutError with the call that does not follow, when a size stands in the code. A network that takes another way
    but ends with the right shapes (operations on axes of size one may) is left for the proof to judge.
    """
    if blueprint.replaced:
        model = on_meta(model)
        stand_in(model, blueprint.replaced)
        body = groups(model, example_inputs)
        known = set(body.shapes)
        blueprint = Blueprint({name: axes for name, axes in blueprint.kept.items() if name in known})
    plan = _Plan(model, body, gone(body.coupling, blueprint.kept))
    try:
        return _mended(model, example_inputs, blueprint, plan, strict=False)
    except Departure as departure:
        raise CutError(_sentence(departure)) from None


def groups(model: nn.Module, example_inputs: Inputs) -> Anatomy:
    """Trace ``model``, couple what leaves together, and try it: the filter groups, frozen ones with their reason.

    Where the cut network departs from the labels and nothing mends it, another way to divide the channels is tried,
    and when there is none, the structures that reach the call are frozen with the line that broke.
    """
    traced = trace(model, example_inputs)
    training = _in_training(model, example_inputs, traced)
    held: dict[str, str] = {}
    body = grouped(model, traced, {}, training)
    while True:
        body = replace(body, structures=tuple(replace(s, frozen=s.frozen or held.get(s.name)) for s in body.structures))
        free = [s for s in body.structures if s.frozen is None and s.size > 1]
        removed = {s: _leaving(s.size, i) for i, s in enumerate(free)}
        kept = kept_without(removed)
        try:
            if removed:
                _mended(model, example_inputs, Blueprint(kept), _Plan(model, body, gone(body.coupling, kept)))
            return body
        except Departure as departure:
            blamed = _blamed(departure.call, free, body)
            others = other_options(body.coupling, [i for s in blamed for i in _components(body, s)])
            if others:
                body = grouped(model, traced, {**body.coupling.options, **_alike(body, others), **others}, training)
            else:
                held |= {structure.name: _sentence(departure) for structure in blamed}


def _alike(body: Anatomy, options: Mapping[Site, int]) -> dict[Site, int]:
    """The same options for the same choices elsewhere: in blocks that repeat, one need not be tried after the other.

    A choice is the same where it was made alike so far, by the same operation on the same shapes, in modules whose
    names differ in numbers alone.
    """
    calls = {call.number: call for call in body.traced.calls}
    before = body.coupling.options

    def kind(site: Site) -> object:
        call = calls.get(site[0])
        if call is None:
            return site
        shapes = [ref.shape for ref in call.inputs]
        return call.op, re.sub(r"\d+", "#", call.module), shapes, site[1], before.get(site, 0)

    chosen = [(kind(site), option) for site, option in options.items()]
    return {site: option for site in body.coupling.sites for known, option in chosen if kind(site) == known}


def _in_training(model: nn.Module, example_inputs: Inputs, traced: Trace) -> Trace | None:
    """A trace in training mode when evaluation leaves parameters idle; None when it shows no more, or fails."""
    if not set(traced.idle) & {name for name, _ in model.named_parameters()}:
        return None
    try:
        training = trace(model, example_inputs, training=True, first=1_000_000)
    except TraceError:
        return None  # such a network trains in some way that is not known here
    return training if len(training.idle) < len(traced.idle) else None


def _leaving(size: int, turn: int) -> tuple[int, ...]:
    """The units of a structure that leave in a rehearsal: at least one, from its whole length."""
    count = max(1, int(size * SHARES[turn % len(SHARES)]))
    return tuple(i * size // count for i in range(count))


def _mended(
    model: nn.Module, example_inputs: Inputs, blueprint: Blueprint, plan: _Plan, *, strict: bool = True
) -> dict[str, Sizes]:
    """Run, change an attribute where the run departs, and run again. Raises the Departure that nothing mends.

    Not ``strict``, it lets pass a network whose outputs have the right shapes in the end.
    """
    twin = on_meta(model)
    shrink(twin, blueprint.kept)
    changed: dict[str, Sizes] = {}
    known = _departure(twin, example_inputs, plan)
    while known is not None:
        for edits in _remedies(twin, known.call, plan):
            before = {path: _sizes(twin, path) for path in edits}
            _set(twin, edits)
            later = _departure(twin, example_inputs, plan)
            if later is None or later.call.number > known.call.number:
                changed |= edits
                known = later
                break
            _set(twin, before)
        else:
            if strict or not _ends_well(twin, example_inputs, plan):
                raise known
            return changed
    return changed


def _ends_well(twin: nn.Module, example_inputs: Inputs, plan: _Plan) -> bool:
    try:
        return output_shapes(twin, example_inputs) == [ref.shape for ref in plan.body.traced.outputs]
    except Exception:  # whatever a stranger's forward pass may raise
        return False


def _departure(twin: nn.Module, example_inputs: Inputs, plan: _Plan) -> Departure | None:
    args, kwargs = arguments(type(twin).__name__, example_inputs)
    fakes, named = tree_map_only(Tensor, lambda tensor: torch.empty_like(tensor, device="meta"), (args, kwargs))
    calls = plan.body.traced.calls
    follower = _Follower(twin, plan)
    try:
        with torch.device("meta"), plainly(), follower:
            twin(*fakes, **named)
    except Departure as departure:
        return departure
    except Exception as error:  # an assertion of the network's own, between two calls
        return Departure(calls[min(follower.number, len(calls) - 1)], first_line(error))
    finally:
        follower.release()
    rest = [call for call in calls[follower.number :] if call.op not in COPIES]
    return Departure(rest[0], "the end of the forward pass") if rest else None


def _remedies(twin: nn.Module, call: Call, plan: _Plan) -> Iterator[dict[str, Sizes]]:
    """Changes of attributes that might help, the likeliest first: in the module that ran the call, then around it."""
    near = [other for other in plan.body.traced.calls if other.module == call.module]
    ahead = [other for other in near if other.number >= call.number]
    path = call.module
    while True:
        for changes in (plan.changes(call), *(plan.changes(other) for other in ahead[1:4])):
            edits = _edits(twin, plan.model, path, changes, plan.parts(call))
            if edits:
                yield edits
                if len(edits) > 1:
                    yield from ({name: value} for name, value in edits.items())
        if not path:
            return
        path = path.rpartition(".")[0]


def _edits(
    twin: nn.Module, model: nn.Module, path: str, changes: Mapping[int, int], parts: tuple[list[int], list[int]]
) -> dict[str, Sizes]:
    """The attributes of one module that held an old size in the original and do not have the new one yet.

    A list of several sizes, as a split takes it, is known by all of them together.
    """
    found: dict[str, Sizes] = {}
    now = vars(twin.get_submodule(path))
    for name, value in vars(model.get_submodule(path)).items():
        where = f"{path}.{name}" if path else name
        if type(value) is int and changes.get(value, now[name]) != now[name]:
            found[where] = changes[value]
        elif isinstance(value, list | tuple) and value and all(type(v) is int for v in value):
            new = parts[1] if list(value) == parts[0] else [changes.get(v, v) for v in value]
            if new != list(value) and new != list(now[name]):
                found[where] = new
    return found


def _sizes(twin: nn.Module, path: str) -> Sizes:
    parent, _, name = path.rpartition(".")
    value = getattr(twin.get_submodule(parent), name)
    return value if isinstance(value, int) else list(value)


def _set(twin: nn.Module, edits: Mapping[str, Sizes]) -> None:
    for path, value in edits.items():
        set_sizes(twin, path, value)


def _blamed(call: Call, free: Sequence[Structure], body: Anatomy) -> Sequence[Structure]:
    """The structures whose channels the call sees; when there are none, those that its module sees, or one around."""
    calls, path = [call], call.module
    while not (found := _reaching(calls, free, body)) and path:
        calls = [other for other in body.traced.calls if f"{other.module}.".startswith(f"{path}.")]
        path = path.rpartition(".")[0]
    return found or free


def _reaching(calls: Sequence[Call], free: Sequence[Structure], body: Anatomy) -> list[Structure]:
    """The structures whose channels these calls see."""
    coupling = body.coupling
    seen: set[int] = set()
    for ref in (ref for call in calls for ref in (*call.inputs, *call.outputs)):
        for nodes in coupling.labels.get(ref.key, {}).values():
            seen.update(coupling.component[nodes[nodes >= 0]].tolist())
    return [structure for structure in free if seen.intersection(_components(body, structure))]


def _components(body: Anatomy, structure: Structure) -> list[int]:
    """The component of every unit."""
    piece = structure.slices[0]
    start = next(a.start for a in body.coupling.axes if (a.tensor, a.axis) == (piece.tensor, piece.axis))
    return [int(body.coupling.component[start + unit[0]]) for unit in piece.indices]


def _sentence(departure: Departure) -> str:
    return f"a size written into the code: {departure.call.place} gives {departure.reason}"
