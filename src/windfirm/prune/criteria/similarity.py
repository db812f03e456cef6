"""How alike two networks see the same images (Kornblith et al., Similarity of Neural Network Representations
Revisited, ICML 2019, section 3)."""

import torch
from torch import Tensor

from windfirm.errors import InputError, expected


def linear_cka(x: Tensor, y: Tensor) -> float:
    """Linear centred kernel alignment of two sets of features of the same images, (n, p) and (n, q), in [0, 1].

    ``‖YᵀX‖² / (‖XᵀX‖ ‖YᵀY‖)`` in Frobenius norms and float64, the columns centred here; from the (n, n) products of
    images where there are more features than images, which is the same. 1 for features that are equal but for a
    rotation, a shift and a scale; 0 where one set does not tell the images apart. Raises InputError unless there are
    two tables of features of as many images.
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or not len(x):
        got = f"shapes {tuple(x.shape)} and {tuple(y.shape)}"
        raise InputError(expected("linear_cka", "features (n, p) and (n, q) of the same images", got))
    x, y = (table.double() - table.double().mean(0) for table in (x, y))
    if max(x.shape[1], y.shape[1]) > len(x):
        own_x, own_y = x @ x.T, y @ y.T
        together = (own_x * own_y).sum()
    else:
        own_x, own_y = x.T @ x, y.T @ y
        together = (y.T @ x).square().sum()
    norms = torch.linalg.matrix_norm(own_x) * torch.linalg.matrix_norm(own_y)
    return float(together / norms) if norms > 0 else 0.0
