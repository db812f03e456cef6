"""Independent truths: slow, short, and written without the package."""

import colorsys
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

# ---------------------------------------------------------------- attacks


def linear_binary(weights: Tensor, bias: float) -> nn.Module:
    """A network of two classes with the logits 0 and w·x + b, for images of the shape of ``weights``."""
    linear = nn.Linear(weights.numel(), 2).to(weights.dtype)
    with torch.no_grad():
        linear.weight.copy_(torch.stack((torch.zeros_like(weights), weights)).flatten(1))
        linear.bias.copy_(torch.tensor([0.0, bias]))
    return nn.Sequential(nn.Flatten(), linear)


def linear_radius(weights: Tensor, bias: float, images: Tensor) -> Tensor:
    """The exact Linf distance of each image from the border of linear_binary: |w·x + b| / ‖w‖₁."""
    return ((images * weights).sum((1, 2, 3)) + bias).abs() / weights.abs().sum()


def turned(image: Tensor, turn: float, saturation: float = 0.0) -> Tensor:
    """One RGB image (3, h, w), pixel by pixel through the standard library's colorsys."""
    result = image.clone()
    for y, x in itertools.product(range(image.shape[1]), range(image.shape[2])):
        h, s, v = colorsys.rgb_to_hsv(*image[:, y, x].tolist())
        rgb = colorsys.hsv_to_rgb((h + turn) % 1, min(max(s + saturation, 0), 1), v)
        result[:, y, x] = torch.tensor(rgb, dtype=image.dtype)
    return result


# ---------------------------------------------------------------- statistics


def every_sign(differences: Sequence[int]) -> float:
    """The two-sided permutation p-value by trying all 2^n signs."""
    observed = abs(sum(differences))
    sums = [
        sum(sign * d for sign, d in zip(signs, differences, strict=True))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(abs(total) >= observed for total in sums) / len(sums)


def mcnemar(ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> float:
    """McNemar's exact test of right (1) and wrong (0): a binomial test of the images on which the two differ."""
    better, worse = int((ours > theirs).sum()), int((ours < theirs).sum())
    if better + worse == 0:
        return 1.0
    return float(stats.binomtest(better, better + worse, 0.5).pvalue)
