"""CutMix (Yun et al., ICCV 2019): a box of every image gives way to the same box of another image of the batch."""

import math

import torch
from torch import Tensor

from windfirm.adjust.objective import Objective, mixed
from windfirm.errors import InputError, expected


def cutmix(side: int, *, probability: float = 0.5) -> Objective:
    """The cross-entropy of patched images with both labels, weighed by the area that each has.

    A batch is patched with ``probability``; one box a batch, whose share of the image is 1 - λ with λ from Beta(1, 1),
    which is the uniform distribution, before it is clipped at the border. The labels' weights are those of the box as
    clipped. Raises InputError for a probability out of range.
    """
    if not 0 <= probability <= 1:
        raise InputError(expected("cutmix", "a probability in [0, 1]", probability))

    def mix(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
        if float(torch.rand((), generator=generator)) >= probability:
            return images, labels, 0.0
        share = math.sqrt(float(torch.rand((), generator=generator)))  # of the image's side that is the box's
        height, width = images.shape[-2:]
        rows, columns = (
            span(int(torch.randint(length, (), generator=generator)), int(length * share), length)
            for length in (height, width)
        )
        order = torch.randperm(len(images), generator=generator).to(images.device)
        patched = images.clone()
        patched[:, :, rows, columns] = images[:, :, rows, columns][order]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        return patched, labels[order], area / (height * width)

    return Objective("cutmix", mixed(mix), {"probability": probability}, once=True)


def span(centre: int, size: int, length: int) -> slice:
    """The ``size`` places around ``centre``, as far as they lie in [0, ``length``)."""
    first = centre - size // 2
    return slice(max(first, 0), min(first + size, length))
