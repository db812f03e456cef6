"""Images as batches of floats that can be gone through again and again."""

from collections.abc import Iterator

from torch import Tensor

from windfirm.data.augment import to_float
from windfirm.data.images import Images


class Batches:
    """Iterates over ``(images (b, c, h, w) float32 in [0, 1], labels (b,))`` in order; every loop starts afresh."""

    def __init__(self, images: Images, size: int = 50) -> None:
        self.images = images
        self.size = size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.images), self.size):
            part = self.images[start : start + self.size]
            yield to_float(part.images), part.labels
