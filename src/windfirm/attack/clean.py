"""No attack at all: the row that the others are compared with."""

from torch import Tensor, nn

from windfirm.attack.budget import Attack, Budget


def clean(side: int) -> Attack:
    """The images as they are."""
    return Attack("clean", "unchanged images", _apply, trials=1, average=True, norm=None)


def _apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
    return images
