"""Sizes that the code states, and not the tensors: found by running the cut network on the meta device.

Labels say what shape every tensor of the smaller network must have. Where the first one differs, or the call fails,
a module holds a number (heads, groups, a width for a view) that has to change with the tensors: an attribute with the
old size gets the new one. Where no attribute helps, the number stands in the code, and the structures that reach the
call are frozen with the line that broke.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from windfirm.errors import CutError, TraceError
from windfirm.models.blueprint import Blueprint, Sizes, is_size, set_sizes, stand_in
from windfirm.models.inputs import Inputs
from windfirm.models.meta import on_meta
from windfirm.models.shrink import shrink
from windfirm.prune.couple import other_options
from windfirm.prune.coupling import Site
from windfirm.prune.follow import Departure, Plan, departed, ends_well
from windfirm.prune.structure import Anatomy, Structure, gone, grouped, inside, kept_without
from windfirm.prune.trace import Call, Trace, trace

#: The shares of a structure's units that leave in a rehearsal: unequal ones, so that sizes which only happen to agree
#: do not hide each other.
SHARES = (0.5, 0.25, 0.4, 0.3)


def rehearse(model: nn.Module, example_inputs: Inputs, blueprint: Blueprint, body: Anatomy) -> dict[str, Sizes]:
    """The attributes that have to change when ``blueprint`` is applied to ``model``, with their new values.

    Raises CutError with the call that does not follow, when a size stands in the code. A network that takes another way
    but ends with the right shapes (operations on axes of size one may) is left for the proof to judge.
    """
    if blueprint.replaced:
        model = on_meta(model)
        stand_in(model, blueprint.replaced)
        try:
            body = groups(model, example_inputs)
        except TraceError as error:
            raise CutError(f"without {', '.join(blueprint.replaced)}: {error}") from error
        known = set(body.shapes)
        blueprint = Blueprint({name: axes for name, axes in blueprint.kept.items() if name in known})
    plan = Plan(model, body, gone(body.coupling, blueprint.kept))
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
                _mended(model, example_inputs, Blueprint(kept), Plan(model, body, gone(body.coupling, kept)))
            return body
        except Departure as departure:
            blamed = _blamed(departure, free, body)
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
    """A trace in training mode when evaluation leaves tensors idle; None when it shows no more, or fails.

    Counters, which are scalars, do not count.
    """
    if not any(traced.parameters[name].shape for name in traced.idle):
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
    model: nn.Module, example_inputs: Inputs, blueprint: Blueprint, plan: Plan, *, strict: bool = True
) -> dict[str, Sizes]:
    """Run, change an attribute where the run departs, and run again. Raises the Departure that nothing mends.

    Not ``strict``, it lets pass a network whose outputs have the right shapes in the end.
    """
    twin = on_meta(model)
    shrink(twin, blueprint.kept)
    changed = _widths(plan)
    _set(twin, changed)
    known = departed(twin, example_inputs, plan)
    mended: list[Call] = []
    while known is not None:
        for edits in _remedies(twin, known.call, plan):
            before = {path: _sizes(twin, path) for path in edits}
            _set(twin, edits)
            later = departed(twin, example_inputs, plan)
            if later is None or later.call.number > known.call.number:
                changed |= edits
                mended.append(known.call)
                known = later
                break
            _set(twin, before)
        else:
            if strict or not ends_well(twin, example_inputs, plan):
                known.mended = mended
                raise known
            return changed
    return changed


def _widths(plan: Plan) -> dict[str, Sizes]:
    """The widths that norms without tensors of their own state: an instance norm warns of a wrong one."""
    found: dict[str, Sizes] = {}
    for call in plan.body.traced.calls:
        norm = plan.model.get_submodule(call.module)
        if isinstance(norm, _NormBase) and not norm.state_dict():
            changes = plan.changes(call).items()
            found |= {f"{call.module}.num_features": new for old, new in changes if old == norm.num_features}
    return found


def _remedies(twin: nn.Module, call: Call, plan: Plan) -> Iterator[dict[str, Sizes]]:
    """Changes of attributes that might help, the likeliest first: in the module that ran the call, then around it."""
    near = [other for other in plan.body.traced.calls if other.module == call.module]
    ahead = [other for other in near if other.number >= call.number]
    path = call.module
    while True:
        for changes in (plan.changes(call), *(plan.changes(other) for other in ahead[1:4])):
            edits = _edits(twin, plan.model, path, changes, plan.parts(call))
            if len(edits) > 1:  # one may be the width, and another a number that happens to be the same
                yield from ({name: value} for name, value in edits.items())
            if edits:
                yield edits
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
        if is_size(value) and changes.get(value, now[name]) != now[name]:
            found[where] = changes[value]
        elif isinstance(value, list | tuple) and value and all(map(is_size, value)):
            new = parts[1] if list(value) == parts[0] else [int(changes.get(v, v)) for v in value]
            if new != list(value) and new != list(now[name]):
                found[where] = new
    return found


def _sizes(twin: nn.Module, path: str) -> Sizes:
    parent, _, name = path.rpartition(".")
    value = getattr(twin.get_submodule(parent), name)
    return int(value) if is_size(value) else list(map(int, value))


def _set(twin: nn.Module, edits: Mapping[str, Sizes]) -> None:
    for path, value in edits.items():
        set_sizes(twin, path, value)


def _blamed(departure: Departure, free: Sequence[Structure], body: Anatomy) -> Sequence[Structure]:
    """The structures whose channels the call sees; when there are none, those that its module sees, or one around.

    In a module those come first for which an attribute was changed: the call may have needed it as it was.
    """
    found, path = _reaching([departure.call], free, body), departure.call.module
    while not found and path:
        for calls in (departure.mended, body.traced.calls):
            found = found or _reaching([call for call in calls if inside(call.module, [path])], free, body)
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
