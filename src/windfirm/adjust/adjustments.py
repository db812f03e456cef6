"""What happens to a network after the cut, and to the control: recipes by name, all run by the one training loop."""

from dataclasses import replace

import torch
from torch import nn

from windfirm.adjust.train import Epoch, Progress, Recipe, train
from windfirm.data.images import Images
from windfirm.errors import InputError, expected

#: Keep the weights; SGD at a tenth of the usual rate, divided by ten at one half and three quarters. The shape is that
#: of Jordao's published code (600 epochs there); the length is the caller's.
FINE_TUNING = Recipe(epochs=6, lr=0.01, schedule="step")

ADJUSTMENTS = {"fine-tuning": FINE_TUNING}


def recipe_for(name: str, *, epochs: int | None = None, lr: float | None = None) -> Recipe:
    """The recipe called ``name``, with the given parts replaced. Raises InputError for an unknown name."""
    if name not in ADJUSTMENTS:
        raise InputError(expected("adjust", f"one of {', '.join(ADJUSTMENTS)}", name))
    recipe = ADJUSTMENTS[name]
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs)
    return recipe if lr is None else replace(recipe, lr=lr)


def adjust(
    name: str,
    model: nn.Module,
    images: Images,
    *,
    epochs: int | None = None,
    lr: float | None = None,
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> list[Epoch]:
    """Train ``model`` in place by the recipe called ``name`` on training ``images``.

    The control of a pruned network is its original, adjusted with the same arguments. Raises InputError for an unknown
    name, TrainingError when the loss is not finite.
    """
    recipe = recipe_for(name, epochs=epochs, lr=lr)
    return train(model, images.images, images.labels, recipe, seed=seed, device=device, progress=progress)
