"""Adaptive instance normalisation (Huang & Belongie, ICCV 2017, section 5): one image's maps with another's statistics.

Where things are stays as it is in the content; how they look, the mean and the spread of every channel, is the style's.
"""

import torch
from torch import Tensor

#: A smaller variance counts as this one, as in the paper's code: near zero the root's gradient has no bound.
LEAST = 1e-5


def moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every channel of every image, two tensors (b, c, 1, 1) in float32."""
    variance, mean = torch.var_mean(maps.float(), (2, 3), correction=0, keepdim=True)
    return mean, variance.clamp(min=LEAST).sqrt()


def adain(content: Tensor, style: Tensor) -> Tensor:
    """``content`` (b, c, h, w) with the channel means and standard deviations of ``style`` (b, c, …), in float32.

    A channel that is all but constant over an image has no spread to scale: it becomes the style's mean there.
    """
    mean, spread = moments(content)
    wanted_mean, wanted_spread = moments(style)
    return (content.float() - mean) * (wanted_spread / spread) + wanted_mean
