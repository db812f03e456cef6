"""Batched augmentation on the device: a padded random crop and a horizontal flip for a whole batch at once.

The recipe is that of He et al. (CVPR 2016, section 4.2): four pixels of zeros on each side, a random crop of the
original size, a flip with probability one half. Images larger than 32 pixels get an eighth of their side.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def padding(side: int) -> int:
    """Pixels of zeros on each side: four, or an eighth of a larger ``side``."""
    return max(4, side // 8)


class Augmenter:
    """Training images, from which random crops are gathered; nothing is copied that is where it is needed.

    Images (n, c, h, w) uint8 live on the device, or, when they would fill more than half of a GPU, where they are.
    """

    def __init__(self, images: Tensor, device: torch.device) -> None:
        self.device = device
        self.images = images.to(device) if _fits(images, device) else images
        self.padding = padding(max(images.shape[-2:]))

    def __call__(self, indices: Tensor, generator: torch.Generator, share: slice = slice(None)) -> Tensor:
        """The images at ``indices`` (b,), each cropped and flipped at random; float32 in [0, 1], shape (b, c, h, w).

        Of these ``share`` alone, each as it would be among all of them.
        """
        shift = torch.randint(2 * self.padding + 1, (2, len(indices)), generator=generator)[:, share]
        turn = (torch.rand(len(indices), generator=generator) < 0.5)[share]
        top, left = sent(shift, self.device)
        flip, images = sent(turn, self.device), self.images[sent(indices[share], self.images.device)].to(self.device)
        count, _, height, width = images.shape
        windows = F.pad(images, (self.padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)  # a view
        crops = windows[torch.arange(count, device=self.device), :, top, left]
        return to_float(torch.where(flip.view(-1, 1, 1, 1), crops.flip(3), crops))


def sent(numbers: Tensor, device: torch.device) -> Tensor:
    """A few ``numbers`` on ``device``, for which a GPU's work so far is not waited for: they are copied aside first."""
    return numbers.to(device, non_blocking=True)


def _fits(images: Tensor, device: torch.device) -> bool:
    return device.type != "cuda" or images.nbytes < torch.cuda.mem_get_info(device)[0] / 2


def to_float(images: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1], channels-last, which is the faster layout for convolutions."""
    # By way of the plain layout: grey images count as laid out both ways, whatever their strides are.
    floats = images.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    return floats.contiguous(memory_format=torch.channels_last)
