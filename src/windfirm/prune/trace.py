"""Watch one forward pass and write down the operations.

The network is copied to the ``meta`` device, where tensors have shapes and no data, and run once under a
``TorchDispatchMode`` that sees every ATen call. Nothing is compiled and no source is parsed, so any Python control
flow works; the user's model is not touched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

from windfirm.errors import TraceError, expected, first_line
from windfirm.models.meta import on_meta

#: What a network may return besides tensors, in any nesting of tuples, lists and dicts.
PLAIN = int | float | str | None


@dataclass(frozen=True)
class Ref:
    """One tensor of the trace, after one operation: an in-place operation gives its tensor a new Ref."""

    key: int
    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Call:
    """One ATen operation: its arguments with every tensor replaced by its Ref, its outputs, the module that ran it."""

    op: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    outputs: tuple[Ref, ...]
    module: str

    @property
    def where(self) -> str:
        """The module that ran it, for a sentence; the network itself has no name."""
        return self.module or "the network"

    @property
    def inputs(self) -> list[Ref]:
        """Every tensor argument, in order, lists flattened."""
        return [leaf for leaf in tree_flatten((self.args, dict(self.kwargs)))[0] if isinstance(leaf, Ref)]


@dataclass(frozen=True)
class Trace:
    """One forward pass: the calls in order, and which Refs are inputs, outputs, parameters and buffers."""

    calls: tuple[Call, ...]
    inputs: tuple[Ref, ...]
    outputs: tuple[Ref, ...]
    parameters: Mapping[str, Ref]


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down every call that passes. ``stack`` holds the names of the modules that are running."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[Call] = []
        self.stack: list[str] = []
        self.refs: dict[int, Ref] = {}
        self.alive: list[Tensor] = []  # keeps every tensor, so that no identity is used twice
        self.count = 0

    def new(self, tensor: Tensor) -> Ref:
        ref = Ref(self.count, tuple(tensor.shape), tensor.dtype)
        self.count += 1
        self.refs[id(tensor)] = ref
        self.alive.append(tensor)
        return ref

    def ref(self, tensor: Tensor) -> Ref:
        return self.refs.get(id(tensor)) or self.new(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        named_args, named_kwargs = tree_map_only(Tensor, self.ref, (tuple(args), dict(kwargs)))
        result = func(*args, **kwargs)
        outputs = tuple(self.new(leaf) for leaf in tree_flatten(result)[0] if isinstance(leaf, Tensor))
        self.calls.append(Call(func, named_args, named_kwargs, outputs, self.stack[-1] if self.stack else ""))
        return result


def trace(model: nn.Module, example_inputs: Tensor | Sequence[Tensor]) -> Trace:
    """Run a copy of ``model`` once on ``meta`` tensors shaped like ``example_inputs``, in eval mode.

    Raises TraceError when the network cannot be copied, when the forward pass fails there, and when its result holds
    anything but tensors and plain values: an output that is not seen could not be kept whole.
    """
    inputs = (example_inputs,) if isinstance(example_inputs, Tensor) else tuple(example_inputs)
    where = type(model).__name__
    if not inputs or not all(tensor.ndim and len(tensor) for tensor in inputs):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in inputs) or "none"
        raise TraceError(expected(where, "example inputs with at least one image", shapes))
    try:
        twin = on_meta(model)
    except Exception as error:
        raise TraceError(expected(where, "a network that can be copied", first_line(error))) from error
    recorder = _Recorder()
    for name, module in twin.named_modules():
        module.register_forward_pre_hook(lambda _m, _i, name=name: recorder.stack.append(name))
        module.register_forward_hook(lambda _m, _i, _o: _pop(recorder.stack), always_call=True)
    # A separate name for every tensor also where two names share one tensor would hide the sharing: first name wins.
    parameters = {name: recorder.new(tensor) for name, tensor in (*twin.named_parameters(), *twin.named_buffers())}
    fakes = tuple(torch.empty_like(tensor, device="meta") for tensor in inputs)
    input_refs = tuple(recorder.new(fake) for fake in fakes)
    try:
        with torch.device("meta"), torch.no_grad(), recorder:
            result = twin(*fakes)
    except Exception as error:
        wanted = "a forward pass that runs on the given inputs without their values"
        raise TraceError(expected(where, wanted, first_line(error))) from error
    leaves = tree_flatten(result)[0]
    strange = [type(leaf).__name__ for leaf in leaves if not isinstance(leaf, Tensor | PLAIN)]
    outputs = tuple(recorder.ref(leaf) for leaf in leaves if isinstance(leaf, Tensor))
    if strange or not outputs:
        raise TraceError(expected(where, "outputs that are tensors", strange[0] if strange else "none"))
    return Trace(tuple(recorder.calls), input_refs, outputs, parameters)


def _pop(stack: list[str]) -> None:
    stack.pop()
