"""FAB, the fast adaptive boundary attack, towards one class after another (Croce & Hein, ICML 2020).

It looks for the shortest change that fools: from wherever it is it steps over the linearised border, drawn towards the
point of the border that is nearest to the clean image, and back towards that image whenever the network is fooled.
"""

import torch
from torch import Tensor, nn

from windfirm.attack.border import Norm, check_norm, leads, length, rivals, shortest
from windfirm.attack.budget import Attack, Budget
from windfirm.errors import InputError, expected

#: A length that stands for none, so that shares of it are defined.
_SHORT = 1e-8


def targeted(
    side: int,
    *,
    norm: Norm = "linf",
    targets: int = 9,
    steps: int = 100,
    alpha: float = 0.1,
    eta: float = 1.05,
    beta: float = 0.9,
    shorten: bool = False,
) -> Attack:
    """FAB towards each of the ``targets`` likeliest classes besides the label, as in AutoAttack (Croce & Hein 2020).

    ``alpha``: the most that the clean image draws a step; ``eta``: how far a step goes over the border, as a multiple
    of its length; ``beta``: how much of a change is kept when it fooled. An image leaves as soon as a change within eps
    is found, unless ``shorten``: then the search goes on to the end, for the shortest change.
    """
    check_norm("fab-t", norm)
    if targets < 1 or steps < 1:
        raise InputError(expected("fab-t", "at least 1 target and 1 step", f"{targets} and {steps}"))
    if not (0 <= alpha <= 1 and eta >= 1 and 0 < beta < 1):
        got = f"{alpha:g}, {eta:g} and {beta:g}"
        raise InputError(expected("fab-t", "an alpha in [0, 1], an eta of at least 1 and a beta in (0, 1)", got))

    def approach(
        model: nn.Module, images: Tensor, labels: Tensor, target: Tensor, enough: float
    ) -> tuple[Tensor, Tensor]:
        """The nearest images found that fool, and the lengths of their changes: infinite where none was found."""
        best, lengths = images.clone(), images.new_full((len(images),), torch.inf)
        changed = images.clone()
        left = torch.arange(len(images), device=images.device)
        for _ in range(steps):
            if len(left) == 0:
                break
            clean, here = images[left], changed[left]
            ahead, slopes = leads(model, here, labels[left], target[left, None])
            ahead, slopes = ahead[:, 0], slopes[:, 0]
            # The plane through the border near ``here``, seen from there and from the clean image.
            step = shortest(here, slopes, -ahead, norm)
            direct = shortest(clean, slopes, -ahead - (slopes * (clean - here)).sum((1, 2, 3)), norm)
            far, near = (length(change, norm).clamp_min(_SHORT) for change in (step, direct))
            drawn = (far / (far + near)).clamp_max(alpha)[:, None, None, None]
            here = (here + eta * step).lerp(clean + eta * direct, drawn).clamp(0, 1)
            fooled = model(here).argmax(1) != labels[left]
            sizes = length(here - clean, norm)
            better = fooled & (sizes < lengths[left])
            best[left[better]], lengths[left[better]] = here[better], sizes[better]
            changed[left] = torch.where(fooled[:, None, None, None], clean.lerp(here, beta), here)
            left = left[lengths[left] > enough]
        return best, lengths

    @torch.no_grad()
    def apply(model: nn.Module, images: Tensor, labels: Tensor, budget: Budget) -> Tensor:
        enough = 0.0 if shorten else budget.eps
        logits = model(images)
        best, lengths = images.clone(), torch.where(logits.argmax(1) == labels, torch.inf, 0.0)
        for target in rivals(logits, labels, targets).unbind(1):
            left = (lengths > enough).nonzero()[:, 0]
            if len(left) == 0:
                break
            found, sizes = approach(model, images[left], labels[left], target[left], enough)
            better = sizes < lengths[left]
            best[left[better]], lengths[left[better]] = found[better], sizes[better].to(lengths)
        return torch.where((lengths <= budget.eps)[:, None, None, None], best, images)

    title = (
        f"fast adaptive boundary attack on {targets} target classes in {norm.capitalize()}, {steps} steps each, "
        f"alpha {alpha:g}, eta {eta:g}, beta {beta:g}, {'shortest change, ' if shorten else ''}white-box"
    )
    return Attack("fab-t", title, apply, trials=1, average=False, norm=norm)
