"""Many small images as one picture, in rows and columns."""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from windfirm.files import atomic

#: White pixels around each image, before it is made larger.
GAP = 1

#: A picture is made so much larger that an image in it has about this side.
SIDE = 96


def write_sheet(path: Path, rows: Sequence[Sequence[Tensor]]) -> None:
    """Write a PNG of ``rows`` of images (3, h, w) in [0, 1], all of one size; each pixel becomes a square of pixels."""
    lines = [torch.cat([_framed(image) for image in row], 2) for row in rows]
    sheet = torch.cat(lines, 1).clamp(0, 1).mul(255).round().to(torch.uint8)
    times = max(1, SIDE // rows[0][0].shape[-1])
    large = sheet.repeat_interleave(times, 1).repeat_interleave(times, 2)
    with atomic(path) as temporary:
        Image.fromarray(large.permute(1, 2, 0).contiguous().numpy()).save(temporary, format="PNG", optimize=True)


def _framed(image: Tensor) -> Tensor:
    channels, height, width = image.shape
    framed = image.new_ones(channels, height + 2 * GAP, width + 2 * GAP)
    framed[:, GAP : GAP + height, GAP : GAP + width] = image
    return framed
