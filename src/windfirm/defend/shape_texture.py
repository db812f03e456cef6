"""Shape-Texture debiased training (Li et al., ICLR 2021): a styled image has two labels, its shape's and its texture's.

The published code keeps a second set of normalisations, statistics and scale and shift, for the styled half of a batch
and throws it away at test. Here that half is shown alone, and so is normalised by its own statistics, and moves no
running ones, but shares scale and shift with the other: the network stays an ordinary one.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windfirm.adjust.objective import Objective, cross_entropy
from windfirm.defend.stylizer import check_alpha, load_stylizer, told
from windfirm.errors import InputError, expected
from windfirm.models.mode import statistics_kept


def shape_texture(side: int, *, alpha: float = 0.5, texture: float = 0.2, stylizer: str | None = None) -> Objective:
    """The mean of CE(images, y) and of (1 − texture) · CE(styled, y of shape) + texture · CE(styled, y of texture).

    The style of each image is that of another of its batch, mixed in by ``alpha``. Both are in [0, 1]. ``stylizer``:
    see stylized. Raises InputError for values out of range, CheckpointError for a file that is none.
    """
    check_alpha("shape-texture", alpha)
    if not 0 <= texture <= 1:
        raise InputError(expected("shape-texture", "a texture in [0, 1]", texture))
    pair = load_stylizer(stylizer)

    def loss(model: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        order = torch.randperm(len(images), generator=generator).to(images.device)
        styled = pair.to(images.device).within(images, order, alpha)
        plain, logits = cross_entropy(model, images, labels, generator)
        with statistics_kept(model):
            of_shape, found = cross_entropy(model, styled, labels, generator)
        of_texture = F.cross_entropy(found, labels[order])
        return (plain + (1 - texture) * of_shape + texture * of_texture) / 2, logits

    options: dict[str, float | int | str] = {"alpha": alpha, "texture": texture, **told(stylizer, pair)}
    return Objective("shape-texture", loss, options, once=True, kept=True)
