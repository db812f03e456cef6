"""Calls on tensors without data, for a network whose code names devices, or brings tensors that no module holds."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

aten: Any = torch.ops.aten

#: What makes memory to write to, and is without data wherever the code wants it; what else it makes may be looked at.
MEMORY = (aten.zeros.default, aten.ones.default, aten.empty.memory_format, aten.full.default)


class Dataless(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of torch
    """Inside, every call is made as ``brought`` and ``stays`` say; no gradients are wanted."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if stays(func, args, kwargs):
            return args[0]
        args, kwargs = brought(func, args, kwargs)
        return func(*args, **kwargs)


def stays(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call only moves a tensor without data to a device that the code names.

    Where there is data it lies there already, and nothing is called.
    """
    if func is not aten._to_copy.default or not args[0].is_meta or not _named(kwargs):
        return False
    form = kwargs.get("memory_format")
    alike = form in (None, torch.preserve_format) or args[0].is_contiguous(memory_format=form)
    return alike and kwargs.get("dtype") in (None, args[0].dtype)


def brought(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """The arguments of a call, all on the meta device where one is.

    A tensor with data that the call writes to stays, and the call fails: the code may look there for what was written.
    """
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    somewhere, everywhere = (which(tensor.is_meta for tensor in tensors) for which in (any, all))
    if somewhere and not everywhere and all(tensor.is_meta for tensor in _written(func, args, kwargs)):
        args, kwargs = tree_map_only(Tensor, _without_data, (tuple(args), dict(kwargs)))
    if (somewhere or func in MEMORY) and _named(kwargs):
        kwargs = {**kwargs, "device": torch.device("meta")}
    return args, kwargs


def _named(kwargs: Mapping[str, Any]) -> bool:
    """Whether a call asks for another device than the one without data."""
    return kwargs.get("device") is not None and torch.device(kwargs["device"]).type != "meta"


def _written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[Tensor]:
    for i, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            yield from tree_leaves(args[i] if i < len(args) else kwargs.get(argument.name, []))


def _without_data(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_meta else torch.empty_like(tensor, device="meta")
