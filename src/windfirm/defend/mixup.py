"""MixUp (Zhang, Cissé, Dauphin & Lopez-Paz, ICLR 2018): every image is blended with another of its batch."""

import torch
from torch import Tensor

from windfirm.adjust.objective import Objective, mixed


def mixup(side: int) -> Objective:
    """The cross-entropy of blended images with both labels, weighed as the images are.

    The weight λ is one number a batch, from Beta(1, 1), which is the uniform distribution.
    """

    def mix(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
        share = float(torch.rand((), generator=generator))  # 1 - λ, which is as uniform as λ
        order = torch.randperm(len(images), generator=generator).to(images.device)
        return blend(images, images[order], share), labels[order], share

    return Objective("mixup", mixed(mix), once=True)


def blend(images: Tensor, others: Tensor, share: float) -> Tensor:
    """``1 - share`` of ``images`` and ``share`` of ``others``, both (b, c, h, w); a share of 0 changes no bit."""
    return images.lerp(others, share)
