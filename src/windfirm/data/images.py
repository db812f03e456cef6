"""A labelled set of images, as every other room receives it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from windfirm.errors import InputError, expected


@dataclass(frozen=True, eq=False)
class Images:
    """A labelled set: ``images`` (n, c, h, w) uint8, ``labels`` (n,) int64 that index ``classes``, and a name to print.

    ``skipped``: the files that could not be read and are not among the images, each with the reason in parentheses.
    Raises InputError when shapes, types or label values do not fit together.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    name: str
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != torch.uint8:
            got = f"{tuple(self.images.shape)} {self.images.dtype}"
            raise InputError(expected(self.name, "images (n, c, h, w) of torch.uint8", got))
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != torch.int64:
            got = f"{tuple(self.labels.shape)} {self.labels.dtype}"
            raise InputError(expected(self.name, f"labels ({len(self.images)},) of torch.int64", got))
        if not len(self.labels):
            return
        low, high = (int(value) for value in self.labels.aminmax())
        if low < 0 or high >= len(self.classes):
            raise InputError(expected(self.name, f"labels from 0 to {len(self.classes) - 1}", f"{low} to {high}"))

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, h, w) of each."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def side(self) -> int:
        """The shorter side in pixels, by which what attacks and defences do is measured."""
        return min(self.images.shape[-2:])

    @property
    def left_out(self) -> str:
        """How many files could not be read, in words; empty where all could."""
        unread = len(self.skipped)
        return f"{unread:,} of {len(self) + unread:,} files left out as unreadable" if unread else ""

    def __getitem__(self, which: slice | Tensor) -> "Images":
        """A subset, by slice (shares memory) or by a tensor of positions or of booleans (copies)."""
        return replace(self, images=self.images[which], labels=self.labels[which])
