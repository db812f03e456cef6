"""RGB to HSV and back, for a batch at once (Smith, SIGGRAPH 1978). All values are in [0, 1]; hue 1 is a full turn."""

import torch
from torch import Tensor

from windfirm.errors import InputError, expected


def rgb_to_hsv(images: Tensor, name: str = "colours") -> Tensor:
    """Hue, saturation and value of (b, 3, h, w) RGB images, same shape; hue is 0 where there is no colour.

    Raises InputError, which begins with ``name``, for images that do not have three channels.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise InputError(expected(name, "RGB images (b, 3, h, w)", tuple(images.shape)))
    red, green, blue = images.unbind(1)
    value = images.amax(1)
    chroma = value - images.amin(1)
    safe = torch.where(chroma > 0, chroma, 1)
    sixth = torch.where(
        value == red,
        ((green - blue) / safe) % 6,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    saturation = chroma / torch.where(value > 0, value, 1)
    return torch.stack((sixth / 6 % 1, saturation, value), 1)


def hsv_to_rgb(images: Tensor) -> Tensor:
    """RGB images (b, 3, h, w) from hue, saturation and value, same shape; hues may lie outside [0, 1]."""
    hue, saturation, value = images.unbind(1)
    # How much of the chroma each channel lacks is one trapezoid of the hue, shifted by a third of a turn.
    place = torch.stack([(offset + 6 * hue) % 6 for offset in (5, 3, 1)], 1)
    lack = torch.minimum(place, 4 - place).clamp(0, 1)
    return value[:, None] * (1 - saturation[:, None] * lack)
