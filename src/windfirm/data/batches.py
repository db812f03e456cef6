"""Images as batches of floats that can be gone through again and again."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from windfirm import seeds
from windfirm.data.augment import to_float
from windfirm.data.images import Images


class Batches:
    """Iterates over ``(images (b, c, h, w) float32 in [0, 1], labels (b,))``; every loop starts afresh.

    They come in order, but for images that are sorted by class, as those of a folder are: these are mixed, always
    alike, as a batch of one class says nothing about the classes. ``change`` is applied to each batch of images, such
    as a network's own normalisation.
    """

    def __init__(self, images: Images, size: int = 50, change: Callable[[Tensor], Tensor] | None = None) -> None:
        self.images = images
        self.order = torch.arange(len(images))
        steps = images.labels.diff()
        if bool((steps >= 0).all()) and bool((steps > 0).any()):
            self.order = torch.randperm(len(images), generator=seeds.stream(0, "batches"))
        self.size = size
        self.change = change

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.images), self.size):
            part = self.images[self.order[start : start + self.size]]
            pixels = to_float(part.images)
            yield self.change(pixels) if self.change else pixels, part.labels
