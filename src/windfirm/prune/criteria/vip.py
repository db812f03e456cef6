"""Partial least squares regression on classes, and what each column contributes to it (VIP), without the regression.

The rows come in parts. All that the fit needs of them is XᵀY and, twice, XᵀX times a vector. So they are kept as they
came, which takes a reading for each product; where XᵀX is smaller than they are, it takes their place.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from scipy.linalg.blas import dsymv, dsyrk

from windfirm.errors import InputError, expected

Array = npt.NDArray[np.float64]

#: Below this, relative to what it is the difference of, a covariance is rounding.
NOTHING = 1e-10


class Table:
    """Rows of numbers, each with the class it belongs to. All is counted from the first row, so that no digits go."""

    def __init__(self) -> None:
        self.origin: Array = np.zeros(0)
        self.counts: dict[int, int] = {}
        self.sums: dict[int, Array] = {}  # by class
        self.rows: list[npt.NDArray[np.floating]] = []  # as they came, not from the origin
        self.products: Array | None = None  # the upper triangle of XᵀX, of the rows that are not kept

    @property
    def size(self) -> int:
        """How many rows there are."""
        return sum(self.counts.values())

    @property
    def total(self) -> Array:
        """The sum of all rows, ``(p,)``."""
        result: Array = np.sum(list(self.sums.values()), 0)
        return result

    def add(self, x: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]) -> None:
        """Add rows ``x`` (n, p) of the classes ``labels`` (n,)."""
        if not len(x):
            return
        if not self.counts:
            self.origin = x[0].astype(np.float64)
        for label in np.unique(labels).tolist():
            part = x[labels == label]
            self.counts[label] = self.counts.get(label, 0) + len(part)
            self.sums[label] = self.sums.get(label, 0) + (part - self.origin).sum(0)
        self.rows.append(x)
        columns = x.shape[1]
        if sum(part.nbytes for part in self.rows) > columns**2 * np.dtype(np.float64).itemsize:
            products = np.zeros((columns, columns), order="F") if self.products is None else self.products
            for part in self.rows:  # added in place: with 17,000 columns one such matrix takes 2 GB
                products = dsyrk(1.0, (part - self.origin).T, beta=1.0, c=products, overwrite_c=True)
            self.products, self.rows = products, []

    def squares(self) -> Array:
        """The sum of squares of each column, ``(p,)``."""
        result = np.zeros_like(self.origin) if self.products is None else self.products.diagonal().copy()
        for part in self.rows:
            result += np.square(part - self.origin).sum(0)
        return result

    def times(self, r: Array) -> Array:
        """XᵀX r, ``(p,)``."""
        result: Array = np.zeros_like(r) if self.products is None else dsymv(1.0, self.products, r)
        for part in self.rows:
            x = part - self.origin
            result += (x @ r) @ x
        return result


def importance(tables: Sequence[Table], components: int) -> Array:
    """The VIP of each column of all the tables' rows, ``(p,)``, in a fit of scaled columns to scaled one-hot classes.

    Raises InputError for fewer than two rows or a single class.
    """
    tables = [table for table in tables if table.size]
    n = sum(table.size for table in tables)
    classes = sorted({label for table in tables for label in table.counts})
    if n < 2 or len(classes) < 2:
        got = f"{n} image{'s' * (n != 1)} of {len(classes)}"
        raise InputError(expected("pls", "at least two images of two classes", got))
    shifts = [table.origin - tables[0].origin for table in tables]
    mean = sum(table.total + table.size * shift for table, shift in zip(tables, shifts, strict=True)) / n
    parts = [(table, table.total, shift - mean) for table, shift in zip(tables, shifts, strict=True)]
    variance, least = np.zeros_like(mean), np.zeros_like(mean)
    for table, total, offset in parts:  # Σ (x + d)² = Σ x² + 2 d Σ x + n d²
        squares = table.squares() + table.size * offset**2
        variance += squares + 2 * offset * total
        least += NOTHING * squares
    variance[variance < least] = 0
    spread = np.sqrt(variance / (n - 1))
    spread[spread == 0] = np.inf  # a column that is always the same says nothing
    counts = np.array([sum(table.counts.get(label, 0) for table in tables) for label in classes], np.float64)
    spread_y = np.sqrt((counts - counts**2 / n) / (n - 1))
    sums = [sum(t.sums.get(label, 0) + t.counts.get(label, 0) * offset for t, _, offset in parts) for label in classes]

    def gram(r: Array) -> Array:
        r = r / spread
        result = np.zeros_like(r)
        for table, total, offset in parts:  # Σ (x + d)(x + d)ᵀ r
            along = float(offset @ r)
            result += table.times(r) + total * along + offset * (float(total @ r) + table.size * along)
        return result / spread

    return vip(np.stack(sums, 1) / spread[:, None] / spread_y, gram, components)


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
