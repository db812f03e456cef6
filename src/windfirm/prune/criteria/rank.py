"""The ranks of many small matrices at once, without their singular values.

numpy's ``matrix_rank`` counts the singular values above ``tol = s_max * max(h, w) * eps`` and finds them one matrix
after the other. Counting is cheaper: M has as many singular values above t as M Mᵀ − t² has positive eigenvalues,
and those are as many as an elimination of it meets positive pivots (Sylvester's law of inertia). As numpy computes
the singular values of float32 matrices in float64, so is M Mᵀ here. The largest singular value is known between two
bounds; where the count depends on where it lies between them, or rounding might matter, numpy itself decides.
"""

from math import ceil

import numpy as np
import torch
from torch import Tensor

#: Matrices that are worked on together: few enough for the caches of a processor, many for a GPU.
NUMBERS = {"cpu": 2**18, "cuda": 2**26}
FEWEST = 64

EPS = float(np.finfo(np.float32).eps)

#: How far from an eigenvalue a count has to stay, as a ratio; rounding of M Mᵀ shifts them far less.
MARGIN = 1.2

#: Squared norms whose tolerance is not subnormal in float32, and whose singular values do not overflow.
ORDINARY = (1e-56, 1e72)


def ranks(maps: Tensor) -> Tensor:
    """The rank of each map: of shape ``(..., h, w)`` to int64 ``(...)``, equal to numpy.linalg.matrix_rank's.

    Maps have to be finite. Those in less than float32 count as float32; in float64 they are left to numpy, one by one.
    """
    if maps.dtype == torch.float64:
        return _by_numpy(maps)
    flat = maps.detach().float().reshape(-1, *maps.shape[-2:])
    if flat.shape[1] > flat.shape[2]:
        flat = flat.mT
    most_together = max(FEWEST, NUMBERS.get(maps.device.type, NUMBERS["cpu"]) // flat.shape[1] ** 2)
    together = max(
        1, ceil(len(flat) / max(1, ceil(len(flat) / most_together)))
    )  # in equal parts: a short one costs as much
    least, most = (torch.cat(bounds) for bounds in zip(*map(_bounds, torch.split(flat, together)), strict=True))
    for open_ in torch.split(_where(least < most), together):
        most[open_] = _count(flat[open_], upper=False)
    open_ = _where(least != most)
    least[open_] = _by_numpy(flat[open_])
    return least.view(maps.shape[:-2])


def _where(mask: Tensor) -> Tensor:
    return mask.nonzero().squeeze(1)


def _bounds(maps: Tensor) -> tuple[Tensor, Tensor]:
    """A lower and an upper bound on the ranks; rows and columns of zeros are what most ranks lack."""
    size = maps.abs()
    rows, columns = ((size.amax(axis) > 0).sum(1) for axis in (2, 1))
    most = torch.minimum(rows, columns)
    return torch.where(most > 0, _count(maps, upper=True), 0), most


def _count(maps: Tensor, upper: bool) -> Tensor:
    """How many singular values of maps (b, n, m), n ≤ m, are above an upper (a lower) bound of numpy's tolerance.

    Where rounding may matter, a count that no map can have.
    """
    wide = maps.double()
    products = wide @ wide.mT
    trace = products.diagonal(dim1=1, dim2=2).sum(1)
    norm = torch.linalg.matrix_norm(products)
    largest = MARGIN * norm if upper else norm.square() / trace / MARGIN  # norm² / trace ≤ s_max² ≤ norm
    count, growth = _eigenvalues_above(products, (EPS * maps.shape[2]) ** 2 * largest)
    sure = (growth <= 4 * trace) & (norm > ORDINARY[0]) & (norm < ORDINARY[1])
    return torch.where(sure, count, -1 if upper else maps.shape[1] + 1)


def _eigenvalues_above(matrices: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """For symmetric matrices, (b, n, n), the eigenvalues above each one's shift, and the largest pivot met.

    Matrices stand side by side, (n, n, b), so that each step of the elimination is one operation for all of them.
    Rows are not exchanged: the result is as good as if the matrix was off by rounding errors of the largest pivot.
    """
    b, n, _ = matrices.shape
    left = matrices.flatten(1).t().contiguous().view(n, n, b)
    left.diagonal().sub_(shift[:, None])
    for k in range(n - 1):
        row = left[k, k + 1 :]
        left[k + 1 :, k + 1 :].addcmul_(row[:, None], row * left[k, k].reciprocal(), value=-1)
    pivots = left.diagonal()
    return (pivots > 0).sum(1), pivots.abs().amax(1)


def _by_numpy(maps: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(np.linalg.matrix_rank(maps.detach().cpu().numpy()))).to(maps.device)
