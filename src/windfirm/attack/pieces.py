"""Many images, some at a time: as many as there is memory for."""

from collections.abc import Callable

import torch
from torch import Tensor


def pieces(of: Callable[..., tuple[Tensor, ...]], batch: int | None, *tensors: Tensor) -> tuple[Tensor, ...]:
    """What ``of`` makes of ``tensors``, at most ``batch`` of their rows at a time, put together again."""
    parts = zip(*(torch.split(tensor, batch or len(tensor)) for tensor in tensors), strict=True)
    return tuple(torch.cat(column) for column in zip(*(of(*part) for part in parts), strict=True))
