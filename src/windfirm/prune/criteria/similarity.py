"""How alike two networks see the same images (Kornblith et al., Similarity of Neural Network Representations
Revisited, ICML 2019, section 3)."""

import torch
from torch import Tensor


def products(features: Tensor) -> Tensor:
    """The products (n, n) of images, of their centred features (n, p), float64."""
    centred = features.double() - features.double().mean(0)
    return centred @ centred.T


def terms(first: Tensor, second: Tensor) -> Tensor:
    """``⟨K, L⟩, ⟨K, K⟩, ⟨L, L⟩``, (3,) on the CPU, of the products K, L of the same images.

    They may be summed over batches, as by Nguyen et al., Do Wide and Deep Networks Learn the Same Things?, ICLR 2021,
    section 2.
    """
    return torch.stack([(first * second).sum(), first.square().sum(), second.square().sum()]).cpu()


def alignment(found: Tensor) -> Tensor:
    """Linear CKA, ``⟨K, L⟩ / (‖K‖ ‖L‖)`` in [0, 1], from terms (3, …).

    1 for features that are equal but for a rotation, a shift and a scale; 0 where one set does not tell the images
    apart.
    """
    both, first, second = found
    return torch.where((first > 0) & (second > 0), both / (first * second).sqrt(), 0.0)
