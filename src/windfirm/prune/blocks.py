"""Residual branches that can be removed: every ``add(x, f(x))`` where all of f comes from x.

Where a module computes exactly that, the whole module gives way to identity. Else the modules of the branch give way
one by one: those that f ends with to zeros, the others to identity.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import nn

from windfirm.errors import first_line
from windfirm.models.blueprint import stand_in
from windfirm.models.caches import dry_run
from windfirm.models.dataless import Dataless
from windfirm.models.inputs import Inputs
from windfirm.models.meta import on_meta
from windfirm.prune.rules import RULES, operations
from windfirm.prune.rules.contract import CONTRACTIONS
from windfirm.prune.structure import Anatomy, Slice, Structure, inside
from windfirm.prune.trace import Call, Ref, Trace
from windfirm.prune.watch import output_shapes, without_values

aten = torch.ops.aten
ADDITIONS = (aten.add.Tensor, aten.add_.Tensor)
RECTIFIERS = (aten.relu.default, aten.relu_.default)

#: Operations that are zero where all operands are, where one is, where their first argument is.
SUMS = operations("add sub cat stack")
PRODUCTS = operations("mul")
KEEPING_ZERO = operations(
    "div relu silu gelu tanh leaky_relu elu hardswish mish neg abs clone detach view _unsafe_view reshape permute "
    "transpose unsqueeze squeeze expand slice select mean sum avg_pool2d max_pool2d_with_indices _adaptive_avg_pool2d "
    "upsample_nearest2d upsample_bilinear2d pixel_shuffle native_dropout"
)


@dataclass(frozen=True)
class Branch:
    """The calls of f, the addition, which of its arguments f is, and x."""

    calls: tuple[Call, ...]
    addition: Call
    argument: int
    x: Ref


def blocks(model: nn.Module, example_inputs: Inputs, body: Anatomy) -> list[Structure]:
    """The residual branches of ``model``, frozen ones with their reason, in the order of the forward pass."""
    found: dict[str, Structure] = {}
    for branch in branches(body.traced):
        replaced = _stand_ins(body.traced, branch)
        if replaced is None:
            continue
        name = _name(replaced)
        slices = tuple(filters_inside(body, replaced))
        if name not in found and slices:
            silent = (branch.addition.place, branch.argument)
            several = next((path for path in replaced if path in body.traced.several), None)
            frozen = f"{several} returns more than one tensor" if several else None
            found[name] = Structure(name, "block", 1, slices, frozen, replaced, silent, stage=branch.x.shape[1:])
    # All at once, which mostly runs; else each by itself: code may ask its blocks for more than what they compute.
    for each in (list(found.values()), [_shapeless(block) for block in found.values()]):
        together = {path: word for b in each if b.frozen is None for path, word in b.replaced.items()}
        if not together or _runs(model, example_inputs, together, body.traced) is None:
            return each
    return [b if b.frozen else tried(model, example_inputs, b, body.traced) for b in found.values()]


def branches(traced: Trace) -> Iterator[Branch]:
    """Every addition of a tensor and something that is computed from that tensor and parameters alone."""
    for addition in traced.calls:
        if addition.op not in ADDITIONS or len(addition.inputs) != 2:
            continue
        sides = addition.inputs
        for argument, (f, x) in ((0, sides), (1, sides[::-1])):
            if f.shape != x.shape or f.key in traced.fixed or x.key in traced.fixed:
                continue
            calls = _between(f, x, traced)
            if calls and not _leaks(calls, addition, traced):
                yield Branch(calls, addition, argument, x)
                break


def _between(f: Ref, x: Ref, traced: Trace) -> tuple[Call, ...] | None:
    """The calls that make f out of x; None when something else goes in, or x does not."""
    first = traced.makers[x.key].number if x.key in traced.makers else -1
    calls: dict[int, Call] = {}
    waiting, reached = [f], False
    while waiting:
        ref = waiting.pop()
        if ref.key == x.key:
            reached = True
        elif ref.key not in traced.fixed:
            call = traced.makers.get(ref.key)
            if call is None or call.number <= first:
                return None
            if call.number not in calls:
                calls[call.number] = call
                waiting += call.inputs
    return tuple(calls[number] for number in sorted(calls)) if reached else None


def _leaks(calls: Sequence[Call], addition: Call, traced: Trace) -> bool:
    """Whether something of the branch is used elsewhere."""
    numbers = {call.number for call in calls} | {addition.number}
    made = {ref.key for call in calls for ref in call.outputs}
    readers = {call.number for key in made for call in traced.readers.get(key, ())}
    return not made.isdisjoint(ref.key for ref in traced.outputs) or not readers <= numbers


def _stand_ins(traced: Trace, branch: Branch) -> dict[str, str] | None:
    """What takes the place of the branch's modules: path → word; None when no module does."""
    numbers = {call.number for call in branch.calls}
    needed = [call for call in traced.calls if call.number in traced.needed]
    live = [call for call in needed if not all(ref.key in traced.fixed for ref in call.inputs)]
    whole = branch.addition.module
    if whole and _is_exactly(traced, live, branch, whole):
        return {whole: "skip"}
    prefix = f"{whole}." if whole else ""
    modules: dict[str, None] = {}
    for call in branch.calls:
        if call.module == whole:
            if RULES.get(call.op) in CONTRACTIONS:
                return None  # this work would stay, and be done on x as wide as it is
        else:
            if not call.module.startswith(prefix):
                return None
            modules[_outermost(traced, call.module, prefix)] = None
    paths = list(modules)
    outside = [call.module for call in live if call.number not in numbers]
    if not paths or any(inside(module, paths) for module in outside):
        return None
    silent = _silencing(traced, branch, whole, prefix) or {paths[-1]}
    return {path: "silence" if path in silent else "skip" for path in paths}


def _silencing(traced: Trace, branch: Branch, whole: str, prefix: str) -> set[str] | None:
    """Modules that make f zero when they give zeros; None where no one can tell from the operations in between."""
    f = branch.addition.inputs[branch.argument]

    @cache
    def zero(ref: Ref) -> set[str] | None:
        call = traced.makers.get(ref.key)
        if call is None or ref.key == branch.x.key or ref.key in traced.fixed:
            return None
        if call.module != whole:
            return {_outermost(traced, call.module, prefix)}
        if call.op in SUMS and len(call.inputs) > 1:  # and no number for one of them
            parts = [part for each in call.inputs if (part := zero(each))]
            return set().union(*parts) if len(parts) == len(call.inputs) else None
        if call.op in PRODUCTS:
            wide = [each for each in call.inputs if each.shape == ref.shape]
            return next((part for each in wide if (part := zero(each))), None)
        return zero(call.inputs[0]) if call.op in KEEPING_ZERO else None

    return zero(f)


def _is_exactly(traced: Trace, live: Sequence[Call], branch: Branch, module: str) -> bool:
    """Whether the module does nothing but the branch and its addition, and perhaps clips what is positive already."""
    numbers = {call.number for call in branch.calls} | {branch.addition.number}
    rest = [call for call in live if inside(call.module, [module]) and call.number not in numbers]
    if branch.argument == 0 and branch.addition.argument("alpha", 1) != 1:
        return False  # what stays is a multiple of x
    if not rest:
        return True
    clips = len(rest) == 1 and rest[0].op in RECTIFIERS and rest[0].inputs == list(branch.addition.outputs)
    return clips and _positive(branch.x, traced)


def _positive(x: Ref, traced: Trace) -> bool:
    """Whether a tensor was rectified, and perhaps pooled, so that rectifying it again changes nothing."""
    maker = traced.makers.get(x.key)
    if maker is not None and maker.op is aten.max_pool2d_with_indices.default:
        return _positive(maker.args[0], traced)
    return maker is not None and maker.op in RECTIFIERS


def _outermost(traced: Trace, path: str, prefix: str) -> str:
    """The first module on the way from ``prefix`` down to ``path`` that was called itself."""
    parts = path.removeprefix(prefix).split(".")
    candidates = [prefix + ".".join(parts[: i + 1]) for i in range(len(parts))]
    return next(candidate for candidate in candidates if candidate in traced.entered)


def _name(replaced: dict[str, str]) -> str:
    return list(replaced)[-1]


def filters_inside(body: Anatomy, replaced: dict[str, str]) -> list[Slice]:
    """The filters of a block, each tensor as one unit, in the order of the forward pass."""
    found = [
        Slice(axis.tensor, axis.axis, axis.size, "out", (tuple(range(axis.size)),))
        for axis, role in zip(body.coupling.axes, body.coupling.roles, strict=True)
        if role == "out" and inside(axis.tensor, replaced)
    ]

    def first(piece: Slice) -> int:
        readers = body.traced.readers.get(body.traced.parameters[piece.tensor].key, ())
        return next((call.number for call in readers), -1)

    return sorted(found, key=first)


def _runs(model: nn.Module, example_inputs: Inputs, replaced: dict[str, str], traced: Trace) -> str | None:
    """None when the network runs without these modules and its outputs keep their shapes, else what went wrong."""
    twin = on_meta(model)
    try:
        stand_in(twin, replaced)
        shapes = output_shapes(twin, example_inputs)
        args, kwargs = without_values(type(twin).__name__, example_inputs)
        dataless = Dataless()  # type: ignore[no-untyped-call]
        # Fused attention, as users run it, looks into other modules.
        with dry_run(twin), torch.no_grad(), dataless:
            twin(*args, **kwargs)
    except Exception as error:  # whatever a stranger's forward pass may raise
        return first_line(error)
    same = shapes == [ref.shape for ref in traced.outputs]
    return None if same else f"outputs of shapes {shapes}"


def tried(model: nn.Module, example_inputs: Inputs, block: Structure, traced: Trace) -> Structure:
    """The block, frozen with the reason when the network does not run without it.

    Where its last modules have inputs of another shape than what is added, a zero without a shape stands for them.
    """
    reason = _runs(model, example_inputs, dict(block.replaced), traced)
    if reason is None:
        return block
    other = _shapeless(block)
    if other.replaced != block.replaced and _runs(model, example_inputs, dict(other.replaced), traced) is None:
        return other
    frozen = f"the network does not run without it: {reason}"
    return replace(block, frozen=frozen)


def _shapeless(block: Structure) -> Structure:
    return replace(block, replaced={p: "zero" if word == "silence" else word for p, word in block.replaced.items()})
