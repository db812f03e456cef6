"""Stylized training (Geirhos et al., ICLR 2019): every image is redrawn in the style of a random one, and only so seen.

Texture then says nothing about the class, shape must. The published data set takes its styles from paintings; here they
come from the other images of the batch, so that nothing but the training images is needed.
"""

import torch
from torch import Tensor

from windfirm.adjust.objective import Objective, mixed
from windfirm.defend.stylizer import check_alpha, load_stylizer, told


def stylized(side: int, *, alpha: float = 1.0, stylizer: str | None = None) -> Objective:
    """The cross-entropy of stylized images. ``alpha`` in [0, 1]: how much of the style they have.

    ``stylizer``: a file that ``windfirm train-stylizer`` wrote; None for the one in the package, whose textures are
    those of 32×32 images. Raises InputError for an alpha out of range, CheckpointError for a file that is none.
    """
    check_alpha("stylized", alpha)
    pair = load_stylizer(stylizer)

    def mix(images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
        order = torch.randperm(len(images), generator=generator).to(images.device)
        return pair.to(images.device).within(images, order, alpha), labels, 0.0

    return Objective("stylized", mixed(mix), {"alpha": alpha, **told(stylizer, pair)}, once=True)
