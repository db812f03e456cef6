"""Images made to fool the network in training: projected gradient steps in a ball of eps, from a random start.

A network in training normalises by the statistics of its batch, and so it does here (the code of TRADES' authors does
so in its first version, and crafts in evaluation mode in its last). But crafting leaves no trace in it: running
statistics stay as they are, so that one step of training moves them once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from windfirm.adjust.objective import logits_of
from windfirm.errors import InputError, expected
from windfirm.models.mode import statistics_kept

#: The size that the poster's FGSM has, and that of the published recipes.
EPS = 8 / 255


@dataclass(frozen=True)
class Ball:
    """How far an image may move (``eps``, in [0, 1], largest norm), and in how many ``steps`` of which size ``alpha``.

    Raises InputError, which starts with ``name``, for values out of range.
    """

    name: str
    eps: float
    alpha: float
    steps: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.eps <= 1:
            raise InputError(expected(self.name, "an eps in [0, 1], such as 8/255", self.eps))
        if not 0 <= self.alpha <= 1:
            raise InputError(expected(self.name, "an alpha in [0, 1]", self.alpha))
        if not hasattr(self.steps, "__index__") or self.steps < 1:
            raise InputError(expected(self.name, "a whole number of steps, at least 1", self.steps))

    def options(self) -> Mapping[str, float | int | str]:
        """What a record needs to repeat it."""
        return {"eps": self.eps, "alpha": self.alpha, "steps": self.steps}


def craft(
    model: nn.Module, images: Tensor, harm: Callable[[Tensor], Tensor], ball: Ball, generator: torch.Generator
) -> Tensor:
    """Images (b, c, h, w) in [0, 1] within ``ball`` of ``images`` that raise ``harm`` of the float32 logits.

    Each step goes along the sign of the gradient. That is asked of the images alone, never of the parameters. Where
    batches are normalised, an image's gradient also holds what it does to its neighbours.
    """
    images = images.detach()
    start = torch.empty(images.shape).uniform_(-ball.eps, ball.eps, generator=generator).to(images.device)
    lowest, highest = (images - ball.eps).clamp(min=0), (images + ball.eps).clamp(max=1)
    moved = (images + start).clamp(lowest, highest)
    # Never under no_grad: autocast would keep low-precision weights that have no gradient, and train on with those.
    with statistics_kept(model), torch.enable_grad():
        for _ in range(ball.steps):
            moved.requires_grad_()
            (gradient,) = torch.autograd.grad(harm(logits_of(model, moved)), moved)
            moved = (moved.detach() + ball.alpha * gradient.sign()).clamp(lowest, highest)
    return moved
