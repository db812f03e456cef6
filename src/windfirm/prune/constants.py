"""Tensors that a forward pass reads and nothing in a trace makes: numbers in the code, or attributes of modules.

A trace without data tells where they are read, a forward pass on images what they hold.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from windfirm.errors import TraceError, expected
from windfirm.models.inputs import Inputs
from windfirm.prune.steps import Values
from windfirm.prune.trace import Call, Ref, Trace
from windfirm.prune.watch import Place, Watcher, arguments, plainly, run

#: What turns numbers in the code into a tensor. A trace need not see it, as it may have no data to begin with.
LIFT = torch.ops.aten.lift_fresh.default


def constants(model: nn.Module, inputs: Inputs, two: Trace, three: Trace) -> Values:
    """Their values by the keys of ``two``, ``three`` being a trace with one image more. ``inputs`` has data.

    Raises TraceError for one whose shape depends on the number of images, and where images go another way than traced.
    """
    wanted: dict[int, tuple[Call, int, Ref]] = {}
    for call, i, ref in _strangers(two):
        wanted.setdefault(ref.key, (call, i, ref))
    for (call, _, ref), (_, _, other) in zip(_strangers(two), _strangers(three), strict=True):
        if ref.shape != other.shape:
            got = f"shapes {ref.shape} and {other.shape}"
            raise TraceError(expected(call.where, "constants that do not grow with the number of images", got))
    if not wanted:
        return {}
    found = _read(model, inputs, {call.place for call, _, _ in wanted.values()})
    values = {}
    for key, (call, i, ref) in wanted.items():
        seen = found.get(call.place, ())
        if i >= len(seen) or seen[i].shape != ref.shape:
            raise TraceError(expected(call.where, "the calls that were traced", f"others about {call.op}"))
        values[key] = seen[i]
    return values


def _strangers(traced: Trace) -> Iterator[tuple[Call, int, Ref]]:
    """Where they are read: the call, and which of its tensors it is."""
    known = {ref.key for ref in (*traced.inputs, *traced.parameters.values())}
    for call in traced.calls:
        if call.op is not LIFT:
            yield from ((call, i, ref) for i, ref in enumerate(call.inputs) if ref.key not in known)
            known.update(ref.key for ref in call.outputs)


def _read(model: nn.Module, inputs: Inputs, places: set[Place]) -> Mapping[Place, Sequence[Tensor]]:
    """Copies of the tensors that the calls at ``places`` are given."""
    args, kwargs = arguments(type(model).__name__, inputs)
    reader = _Reader(model, places)
    try:
        with plainly(), reader:
            model(*args, **kwargs)
    finally:
        reader.release()
    return reader.seen


class _Reader(Watcher):  # type: ignore[no-untyped-call]
    def __init__(self, model: nn.Module, places: set[Place]) -> None:
        super().__init__(model)
        self.places = places
        self.seen: dict[Place, Sequence[Tensor]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        place = self.place(func)
        if place in self.places:
            tensors = (leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor))
            self.seen[place] = [tensor.detach().clone() for tensor in tensors]
        return run(func, args, kwargs)
