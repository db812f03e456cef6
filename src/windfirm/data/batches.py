"""Images as batches of floats that can be gone through again and again."""

from collections.abc import Callable, Iterator

from torch import Tensor

from windfirm.data.augment import to_float
from windfirm.data.images import Images


class Batches:
    """Iterates over ``(images (b, c, h, w) float32 in [0, 1], labels (b,))`` in order; every loop starts afresh.

    ``change`` is applied to each batch of images, such as a network's own normalisation.
    """

    def __init__(self, images: Images, size: int = 50, change: Callable[[Tensor], Tensor] | None = None) -> None:
        self.images = images
        self.size = size
        self.change = change

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.images), self.size):
            part = self.images[start : start + self.size]
            pixels = to_float(part.images)
            yield self.change(pixels) if self.change else pixels, part.labels
