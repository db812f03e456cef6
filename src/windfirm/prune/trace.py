"""Watch one forward pass and write down the operations.

The network is copied to the ``meta`` device, where tensors have shapes and no data, and run once under a
``TorchDispatchMode`` that sees every ATen call. Nothing is compiled and no source is parsed, so any Python control
flow works; the user's model is not touched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from windfirm.errors import TraceError, expected, first_line
from windfirm.models.caches import dry_run
from windfirm.models.dataless import stays
from windfirm.models.inputs import Inputs, doubled
from windfirm.models.meta import on_meta
from windfirm.models.mode import switched
from windfirm.prune.watch import Place, Watcher, plainly, shaped, tensors_in, without_values


@dataclass(frozen=True)
class Ref:
    """One tensor of the trace, after one operation: an in-place operation gives its tensor a new Ref.

    ``storage`` tells which memory it lies in, ``strides`` and ``offset`` (in elements) where.
    """

    key: int
    shape: tuple[int, ...]
    dtype: torch.dtype
    storage: int = field(default=-1, compare=False)
    strides: tuple[int, ...] = field(default=(), compare=False)
    offset: int = field(default=0, compare=False)


def refs_in(arg: Any) -> list[Ref]:
    """The Refs among arguments, in order, lists and dicts flattened."""
    return [leaf for leaf in tree_leaves(arg) if isinstance(leaf, Ref)]


@dataclass(frozen=True)
class Call:
    """One ATen operation: its arguments with every tensor replaced by its Ref, its outputs, the module that ran it."""

    op: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Ref, ...]
    module: str
    number: int = 0
    turn: int = 0

    @property
    def place(self) -> Place:
        """Its place in the forward pass."""
        return Place(self.module, str(self.op), self.turn)

    @property
    def where(self) -> str:
        """The module that ran it, for a sentence; the network itself has no name."""
        return self.module or "the network"

    @cached_property
    def inputs(self) -> list[Ref]:
        """Every tensor argument, in order, lists flattened."""
        return refs_in((self.args, dict(self.kwargs)))

    @property
    def written(self) -> list[Ref]:
        """The tensors that it writes into, as they were before."""
        named = [entry.name for entry in self.op._schema.arguments if entry.alias_info and entry.alias_info.is_write]
        return refs_in([self.argument(name) for name in named])

    def argument(self, name: str, default: Any = None) -> Any:
        """The argument that the operation's schema calls ``name``."""
        for i, argument in enumerate(self.op._schema.arguments):
            if argument.name == name:
                return self.args[i] if i < len(self.args) else self.kwargs.get(name, default)
        return default


@dataclass(frozen=True)
class Trace:
    """One forward pass: the calls in order, the Refs of inputs, outputs, parameters and buffers, the modules run.

    ``several`` are modules that returned something else than one tensor, ``opaque`` those that run other operations on
    data than a trace without data shows.
    """

    calls: tuple[Call, ...]
    inputs: tuple[Ref, ...]
    outputs: tuple[Ref, ...]
    parameters: Mapping[str, Ref]
    entered: frozenset[str] = frozenset()
    several: frozenset[str] = frozenset()
    opaque: frozenset[str] = frozenset()

    @cached_property
    def at(self) -> Mapping[Place, Call]:
        """The calls by their place in the forward pass."""
        return {call.place: call for call in self.calls}

    @cached_property
    def makers(self) -> Mapping[int, Call]:
        """The call that made each tensor, by the key of its Ref; inputs, parameters and buffers have none."""
        return {ref.key: call for call in self.calls for ref in call.outputs}

    @cached_property
    def readers(self) -> Mapping[int, Sequence[Call]]:
        """The needed calls that each tensor goes into, by the key of its Ref."""
        found: dict[int, list[Call]] = {}
        for call in self.calls:
            for key in {ref.key for ref in call.inputs} if call.number in self.needed else ():
                found.setdefault(key, []).append(call)
        return found

    @cached_property
    def needed(self) -> frozenset[int]:
        """The numbers of the calls from which an output follows, or that write into memory which outlasts the pass.

        Others log: what a hook that keeps a mean does to a tensor says nothing of the network.
        """
        seen = (*self.inputs, *self.parameters.values(), *(ref for call in self.calls for ref in call.inputs))
        lasting = [*self.outputs, *(ref for ref in seen if ref.key not in self.makers)]
        keys, storages = ({ref.key for ref in self.outputs}, {ref.storage for ref in lasting})
        found: set[int] = set()
        for call in reversed(self.calls):
            writes = not storages.isdisjoint(ref.storage for ref in call.written)
            if writes or not keys.isdisjoint(ref.key for ref in call.outputs):
                found.add(call.number)
                keys.update(ref.key for ref in call.inputs)
                storages.update(ref.storage for ref in call.inputs)
        return frozenset(found)

    @cached_property
    def fixed(self) -> frozenset[int]:
        """The tensors that do not depend on the input: keys of Refs of parameters, constants and all made of those.

        A constant may be a plain attribute, which no call makes and which has no name.
        """
        found = {ref.key for ref in (*self.parameters.values(), *(ref for call in self.calls for ref in call.inputs))}
        found -= self.makers.keys() | {ref.key for ref in self.inputs}
        for call in self.calls:
            if all(ref.key in found for ref in call.inputs):
                found.update(ref.key for ref in call.outputs)
            else:
                found -= {ref.key for ref in self.overwritten(call)}
        return frozenset(found)

    @cached_property
    def origins(self) -> Mapping[int, frozenset[int]]:
        """For every tensor that is computed from parameters alone, of which ones: keys of Refs."""
        found = {ref.key: frozenset({ref.key}) for ref in self.parameters.values()}
        for call in self.calls:
            if call.inputs and all(ref.key in found for ref in call.inputs):
                sources = frozenset().union(*(found[ref.key] for ref in call.inputs))
                found |= {ref.key: sources for ref in call.outputs}
            else:
                for ref in self.overwritten(call):
                    found.pop(ref.key, None)
        return found

    def overwritten(self, call: Call) -> Sequence[Ref]:
        """The tensors that hold what ``call`` wrote into their memory: all of the trace that lie in the same."""
        if not call.op._schema.is_mutable:
            return ()
        return [ref for out in call.outputs for ref in self.stored.get(out.storage, ())]

    @cached_property
    def stored(self) -> Mapping[int, Sequence[Ref]]:
        """The tensors by the memory that they lie in."""
        found: dict[int, list[Ref]] = {}
        for ref in (*self.parameters.values(), *(ref for call in self.calls for ref in (*call.inputs, *call.outputs))):
            found.setdefault(ref.storage, []).append(ref)
        return found

    def same_way(self, other: "Trace") -> bool:
        """Whether another forward pass made the same calls, in the same modules."""
        return [(call.op, call.module) for call in self.calls] == [(call.op, call.module) for call in other.calls]

    @property
    def idle(self) -> list[str]:
        """The parameters that no call used."""
        used = {ref.key for call in self.calls for ref in call.inputs}
        return [name for name, ref in self.parameters.items() if ref.key not in used]


class _Recorder(Watcher):  # type: ignore[no-untyped-call]
    """Writes down every call that passes."""

    def __init__(self, model: nn.Module, first: int) -> None:
        super().__init__(model)
        self.first = first
        self.calls: list[Call] = []
        self.refs: dict[int, Ref] = {}
        self.alive: list[Any] = []  # keeps every tensor and storage, so that no identity is used twice

    def new(self, tensor: Tensor) -> Ref:
        storage = tensor.untyped_storage() if tensor.layout is torch.strided else None
        where = (storage._cdata, tuple(tensor.stride()), int(tensor.storage_offset())) if storage is not None else ()
        ref = Ref(self.first + len(self.alive), tuple(tensor.shape), tensor.dtype, *where)
        self.refs[id(tensor)] = ref
        self.alive.append((tensor, storage))
        return ref

    def ref(self, tensor: Tensor) -> Ref:
        return self.refs.get(id(tensor)) or self.new(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if stays(func, args, kwargs):
            return args[0]
        named_args, named_kwargs = tree_map_only(Tensor, self.ref, (tuple(args), dict(kwargs)))
        result = shaped(func, args, kwargs)
        outputs = tuple(self.new(leaf) for leaf in tree_leaves(result) if isinstance(leaf, Tensor))
        place, number = self.place(func), self.first + len(self.calls)
        self.calls.append(Call(func, named_args, named_kwargs, outputs, place.module, number, place.turn))
        return result


def trace(model: nn.Module, example_inputs: Inputs, *, training: bool = False, first: int = 0) -> Trace:
    """Run a copy of ``model`` once on ``meta`` tensors shaped like ``example_inputs``, in eval mode as a rule.

    Refs and calls are numbered from ``first``, so that two traces can be told apart.
    Raises TraceError when the network cannot be copied, when the forward pass fails there, and when its result holds
    anything but tensors and plain values: an output that is not seen could not be kept whole.
    """
    where = type(model).__name__
    _refuse_strangers(where, model)
    fakes, named = without_values(where, example_inputs)
    shapes = ", ".join(str(tuple(tensor.shape)) for tensor in (*fakes, *named.values()))
    try:
        twin = switched(on_meta(model), training=training)
    except Exception as error:
        raise TraceError(expected(where, "a network that can be copied", first_line(error))) from error
    recorder = _Recorder(twin, first)
    # A separate name for every tensor also where two names share one tensor would hide the sharing: first name wins.
    parameters = {name: recorder.new(tensor) for name, tensor in (*twin.named_parameters(), *twin.named_buffers())}
    if training:
        fakes, named = doubled((fakes, named))
    inputs = tuple(recorder.new(fake) for fake in (*fakes, *named.values()))
    try:
        with dry_run(twin), plainly(), recorder:
            result = twin(*fakes, **named)
    except Exception as error:
        wanted = f"a forward pass that runs on inputs of shape {shapes} without their values"
        raise TraceError(expected(where, wanted, first_line(error))) from error
    try:
        outputs = tuple(recorder.ref(tensor) for tensor in tensors_in(result))
    except TypeError as error:
        raise TraceError(expected(where, "outputs that are tensors", error)) from None
    if not outputs:
        raise TraceError(expected(where, "outputs that are tensors", "none"))
    opaque = frozenset(name for name, module in twin.named_modules() if isinstance(module, nn.RNNBase))
    entered, several = frozenset(recorder.entered), frozenset(recorder.several)
    return Trace(tuple(recorder.calls), inputs, outputs, parameters, entered, several, opaque)


def _refuse_strangers(where: str, model: nn.Module) -> None:
    """Raise TraceError for what cannot be watched: no module, compiled script inside, tensors on several devices."""
    if not isinstance(model, nn.Module):
        raise TraceError(expected(where, "a torch.nn.Module", where))
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise TraceError(expected(name or where, "a module of Python code", "one compiled to TorchScript"))
    places: dict[str, str] = {}
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        places.setdefault(str(tensor.device), name)
    if len(places) > 1:
        got = " and ".join(f"{name} on {device}" for device, name in places.items())
        raise TraceError(expected(where, "all tensors on one device", got))
