"""Running means over images, those of even and of odd images apart."""

from collections.abc import Hashable

import torch
from torch import Tensor

from windfirm.errors import CutError, expected
from windfirm.prune.criteria.base import Half


class Means:
    """For every key the sum of one row an image, in float64 on the CPU, and how many rows there were; by halves.

    ``what`` the means are of, and the key, are named in complaints.
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._sums: dict[Hashable, Tensor] = {}
        self._counts: dict[Hashable, Tensor] = {}

    def add(self, key: Hashable, rows: Tensor, images: range) -> None:
        """Add ``rows`` (b, n) of these images. Raises CutError unless they are finite."""
        rows = rows.double().cpu()
        if not bool(rows.isfinite().all()):
            raise CutError(expected(f"{self.what} of {key}", "finite values", "infinite or undefined ones"))
        sums = self._sums.setdefault(key, torch.zeros(2, rows.shape[1], dtype=torch.float64))
        counts = self._counts.setdefault(key, torch.zeros(2, dtype=torch.float64))
        for half in (0, 1):
            part = rows[(half - images.start) % 2 :: 2]
            sums[half] += part.sum(0)
            counts[half] += len(part)

    def mean(self, key: Hashable, half: Half = None) -> Tensor | None:
        """The mean row, (n,), over all images or one half of them; None where none was added."""
        if key not in self._sums:
            return None
        sums, counts = self._sums[key], self._counts[key]
        total, count = (sums.sum(0), counts.sum()) if half is None else (sums[half], counts[half])
        return total / count if count else None
