"""The fast gradient sign method (Goodfellow, Shlens & Szegedy, ICLR 2015, section 4)."""

from torch import Tensor, nn

from windfirm.adjust.signs import direction, step
from windfirm.attack.budget import Attack, Budget


def fgsm(side: int) -> Attack:
    """One step of size eps along the sign of the gradient."""
    title = "one step along the sign of the loss gradient, white-box, true labels"
    return Attack("fgsm", title, _apply, trials=1, average=False, norm="linf")


def _apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
    return step(images, direction(model, images, labels), budget.eps)
