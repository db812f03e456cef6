"""Work on many images a few at a time, and on fewer once memory has run out."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor

from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.models.device import batch_size, out_of_memory

T = TypeVar("T")


class Batches:
    """How many images, ``size``, there is memory for in a network at once; halved whenever it turns out to be less."""

    def __init__(self, size: int) -> None:
        self.size = size

    def over(self, ids: Tensor, work: Callable[[Tensor], T], times: int = 1) -> Iterator[tuple[Tensor, T]]:
        """``work`` on ``ids`` (n,), ``times`` batches at once: those ids, and what came of them.

        Work for which memory ran out is done again in halves, down to single images, for which the error is raised.
        """
        while len(ids):
            some = ids[: times * self.size]
            try:
                result = work(some)
            except (RuntimeError, MemoryError) as error:
                if self.size == 1 or not out_of_memory(error):
                    raise
                self.size //= 2
                continue
            yield some, result
            ids = ids[len(some) :]


def batched(where: str, images: Images, batch: int | None, device: torch.device | None) -> Batches:
    """Batches of ``batch`` of ``images``; when None, of as many as suit ``device``.

    Raises InputError, which starts with ``where``, unless there is at least one image, and one a batch.
    """
    size = batch_size(device, images.images.shape) if batch is None else batch
    if len(images) == 0 or not hasattr(size, "__index__") or size < 1:
        got = f"{len(images)} and {size}"
        raise InputError(expected(where, "at least one image, and batches of at least 1", got))
    return Batches(size)
