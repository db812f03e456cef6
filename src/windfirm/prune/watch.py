"""Running a network so that every ATen call is seen, with the module that makes it."""

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from windfirm.errors import TraceError, expected
from windfirm.models.caches import dry_run
from windfirm.models.dataless import brought, stays
from windfirm.models.inputs import Arguments, Inputs, separated

#: What a network may return besides tensors, in any nesting of tuples, lists, dicts and dataclasses.
PLAIN = int | float | str | None


@dataclass(frozen=True)
class Place:
    """Where a call stands in the forward pass: the ``turn``-th call, from 0, of ``op`` while ``module`` was running."""

    module: str
    op: str
    turn: int

    def __str__(self) -> str:
        return f"{self.op} in {self.module or 'the network'}"


def run(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The call, with a convolution's result laid out in order.

    Left to itself it depends on the device how that lies in memory, and on that which operations a layer is made of.
    """
    result = func(*args, **kwargs)
    return result.contiguous() if func is torch.ops.aten.convolution.default else result


def shaped(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The call on tensors without data. Batch normalisation, common and slow there, has a way of its own."""
    if func is torch.ops.aten.native_batch_norm.default and args[0].is_meta and not args[5]:
        return torch.empty_like(args[0]), args[0].new_empty(0), args[0].new_empty(0)
    return args[0] if stays(func, args, kwargs) else run(func, *brought(func, args, kwargs))


class Watcher(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A dispatch mode that knows which module is running, and which place every call has."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.stack: list[str] = []
        self.entered: set[str] = set()
        self.several: set[str] = set()
        self._turns: Counter[tuple[str, str]] = Counter()
        self._hooks = []
        for name, module in model.named_modules():
            enter = module.register_forward_pre_hook(lambda _m, _i, name=name: self._push(name))
            leave = module.register_forward_hook(lambda _m, _i, out, name=name: self._pop(name, out), always_call=True)
            self._hooks += [enter, leave]

    def _push(self, name: str) -> None:
        self.stack.append(name)
        self.entered.add(name)

    def _pop(self, name: str, result: Any) -> None:
        self.stack.pop()
        if not isinstance(result, Tensor):
            self.several.add(name)

    def release(self) -> None:
        """Take the hooks off the network again."""
        for hook in self._hooks:
            hook.remove()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return shaped(func, args, kwargs or {})

    def place(self, func: Any) -> Place:
        """The place of the call that is being made."""
        module = self.stack[-1] if self.stack else ""
        turn = self._turns[module, str(func)]
        self._turns[module, str(func)] += 1
        return Place(module, str(func), turn)


@contextlib.contextmanager
def plainly() -> Iterator[None]:
    """Without gradients, and with attention spelled out in plain operations instead of fused ones."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def tensors_in(result: Any) -> list[Tensor]:
    """The tensors in what a network returned, in order. Raises TypeError, saying its type, for what is not PLAIN."""
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, PLAIN):
        return []
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        result = [getattr(result, entry.name) for entry in dataclasses.fields(result)]
    elif isinstance(result, Mapping):
        result = list(result.values())
    if not isinstance(result, list | tuple):
        raise TypeError(type(result).__name__)
    return [tensor for value in result for tensor in tensors_in(value)]


def arguments(where: str, example_inputs: Inputs) -> Arguments:
    """Positional and named tensors. Raises TraceError for anything else, and for an empty batch."""
    args, kwargs = separated(example_inputs)
    given = [*args, *kwargs.values()]
    strange = [type(value).__name__ for value in given if not isinstance(value, Tensor)]
    if strange:
        raise TraceError(expected(where, "example inputs that are tensors", strange[0]))
    if not given or not all(tensor.ndim and len(tensor) for tensor in given):
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in given) or "none"
        raise TraceError(expected(where, "example inputs with at least one image", shapes))
    return args, kwargs


def growing(given: Arguments) -> list[Arguments]:
    """The first two images, on which most can be seen, and then all, for a network that does not take two."""
    images = next(len(tensor) for tensor in (*given[0], *given[1].values()))
    few = tree_map_only(Tensor, lambda tensor: tensor[:2] if len(tensor) == images else tensor, given)
    return [few, given] if images > 2 else [given]


def without_values(where: str, example_inputs: Inputs) -> Arguments:
    """The same as ``arguments``, on the meta device. Raises what it raises."""
    args, kwargs = arguments(where, example_inputs)
    fakes, named = tree_map_only(Tensor, lambda tensor: torch.empty_like(tensor, device="meta"), (args, kwargs))
    return fakes, named


def output_shapes(twin: nn.Module, example_inputs: Inputs) -> list[tuple[int, ...]]:
    """What shapes the outputs have when a network on the meta device runs; whatever it raises is the caller's."""
    fakes, named = without_values(type(twin).__name__, example_inputs)
    watcher = Watcher(twin)
    try:
        with dry_run(twin), plainly(), watcher:
            return [tuple(tensor.shape) for tensor in tensors_in(twin(*fakes, **named))]
    finally:
        watcher.release()
