"""A forward pass that stays in double precision where the network's own code asks for less."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

WIDE = {
    torch.float32: torch.float64,
    torch.float16: torch.float64,
    torch.bfloat16: torch.float64,
    torch.complex64: torch.complex128,
}


class Precisely(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Inside, what is made or cast as a narrower floating type is double precision: ``x.float()``, ``torch.zeros(3)``.

    Else a network in double precision would not run, or would round in the middle.
    """

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = {name: _type(value) for name, value in (kwargs or {}).items()}
        result = func(*map(_type, args), **named)
        if func._schema.is_mutable:
            return result
        return _value(result) if isinstance(result, Tensor) else tree_map(_value, result)


def _type(value: Any) -> Any:
    return WIDE.get(value, value) if isinstance(value, torch.dtype) else value


def _value(value: Any) -> Any:
    return value.to(WIDE[value.dtype]) if isinstance(value, Tensor) and value.dtype in WIDE else value
