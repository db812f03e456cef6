"""Partial least squares regression on classes, and what each column contributes to it (VIP), without the regression.

The rows come in parts. All that the fit needs of them is XᵀX and XᵀY; while there are fewer rows than columns the rows
themselves are smaller than XᵀX, and are kept instead.
"""

from collections.abc import Callable
from copy import copy

import numpy as np
import numpy.typing as npt

from windfirm.errors import InputError, expected

Array = npt.NDArray[np.float64]

#: Below this, relative to the rows, a covariance is rounding.
NOTHING = 1e-10


class Table:
    """Rows of numbers, each with the class it belongs to. All is counted from the first row, so that no digits go."""

    def __init__(self) -> None:
        self.origin: Array | None = None
        self.counts: dict[int, int] = {}
        self.sums: dict[int, Array] = {}  # by class
        self.rows: list[Array] = []
        self.products: Array | None = None  # XᵀX of the rows that are not kept

    @property
    def size(self) -> int:
        """How many rows there are."""
        return sum(self.counts.values())

    def add(self, x: Array, labels: npt.NDArray[np.int64]) -> None:
        """Add rows ``x`` (n, p) of the classes ``labels`` (n,)."""
        if not len(x):
            return
        if self.origin is None:
            self.origin = x[0].copy()
        x = x - self.origin
        for label in np.unique(labels).tolist():
            part = x[labels == label]
            self.counts[label] = self.counts.get(label, 0) + len(part)
            self.sums[label] = self.sums.get(label, 0) + part.sum(0)
        self.rows.append(x)
        if sum(map(len, self.rows)) > x.shape[1]:
            self.products = self._products()
            self.rows = []

    def _products(self) -> Array:
        parts = [part.T @ part for part in self.rows]
        result: Array = np.sum(parts if self.products is None else [self.products, *parts], 0)
        return result

    def vip(self, components: int) -> Array:
        """The VIP of each column, ``(p,)``, in a fit of scaled columns to the scaled one-hot classes.

        Raises InputError for fewer than two rows or a single class.
        """
        n = self.size
        if n < 2 or len(self.counts) < 2:
            got = f"{n} image{'s' * (n != 1)} of {len(self.counts)}"
            raise InputError(expected("pls", "at least two images of two classes", got))
        mean = np.sum(list(self.sums.values()), 0) / n
        if self.products is None:
            centred = np.concatenate(self.rows) - mean
            variance = np.square(centred).sum(0)
        else:
            gram = self._products() - n * np.outer(mean, mean)
            variance = gram.diagonal().copy()
            variance[variance < NOTHING * self._products().diagonal()] = 0
        spread = np.sqrt(variance / (n - 1))
        spread[spread == 0] = np.inf  # a column that is always the same says nothing
        counts = np.array([self.counts[label] for label in self.sums], np.float64)
        spread_y = np.sqrt((counts - counts**2 / n) / (n - 1))
        covariance = np.stack([s - c * mean for s, c in zip(self.sums.values(), counts, strict=True)], 1)
        covariance = covariance / spread[:, None] / spread_y
        if self.products is None:
            scaled = centred / spread
            return vip(covariance, lambda r: scaled.T @ (scaled @ r), components)
        return vip(covariance, lambda r: (gram @ (r / spread)) / spread, components)


def merged(first: Table, second: Table) -> Table:
    """The rows of two tables in one; both are left as they are."""
    if first.origin is None or second.origin is None:
        return second if first.origin is None else first
    both = copy(first)
    both.counts, both.sums, both.rows = dict(first.counts), dict(first.sums), list(first.rows)
    shift = second.origin - first.origin
    for label, count in second.counts.items():
        both.counts[label] = both.counts.get(label, 0) + count
        both.sums[label] = both.sums.get(label, 0) + second.sums[label] + count * shift
    both.rows += [part + shift for part in second.rows]
    if second.products is not None:
        n = second.size - sum(map(len, second.rows))
        sums = np.sum(list(second.sums.values()), 0) - sum(part.sum(0) for part in second.rows)
        cross = np.outer(sums, shift)
        moved = second.products + cross + cross.T + n * np.outer(shift, shift)
        both.products = moved if first.products is None else first.products + moved
    return both


def vip(covariance: Array, gram: Callable[[Array], Array], components: int) -> Array:
    """VIP of each column of a table X (n, p) for responses Y (n, k), from XᵀY (p, k) and ``gram``: r → XᵀX r.

    VIP_j = sqrt(p · Σ_h s_h (w_jh / ‖w_h‖)² / Σ_h s_h), s = diag(TᵀT QᵀQ). The weights w_h are exact: the first left
    singular vector of the deflated XᵀY, found from the small YᵀX XᵀY instead of by power iteration. X is never
    deflated: the scores are t_h = X r_h, and they are orthogonal.
    """
    start, covariance = covariance, covariance.copy()
    weights: list[Array] = []
    rotated: list[Array] = []
    loadings: list[Array] = []
    explained: list[float] = []
    for _ in range(components):
        if not np.any(np.abs(covariance) > NOTHING):
            break  # nothing is left to explain
        _, vectors = np.linalg.eigh(covariance.T @ covariance)
        w = covariance @ vectors[:, -1]
        w /= np.linalg.norm(w)
        r = w
        for r_before, p_before in zip(rotated, loadings, strict=True):
            r = r - r_before * (p_before @ w)
        products = gram(r)
        energy = float(r @ products)
        p = products / energy
        q = start.T @ r / energy
        covariance = covariance - np.outer(p, start.T @ r)
        weights.append(w)
        rotated.append(r)
        loadings.append(p)
        explained.append(energy * float(q @ q))
    if not weights:
        return np.zeros(len(start))
    s = np.array(explained)
    result: Array = np.sqrt(len(start) * (np.square(np.stack(weights, 1)) @ s) / s.sum())
    return result
