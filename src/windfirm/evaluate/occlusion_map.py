"""Where a network looks: what is left of its answer when a square hides one place after the other."""

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.adjust.objective import margin
from windfirm.attack.budget import Budget
from windfirm.attack.occlusion import Colour, worst
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.evaluate.loop import attacked, fetch
from windfirm.evaluate.memory import batched
from windfirm.evaluate.network import check_images, classify, outputs, private
from windfirm.models.device import default_modes, placed


@default_modes()
@torch.no_grad()
def occlusion_map(
    model: nn.Module,
    images: Images,
    *,
    size: int | None = None,
    stride: int | None = None,
    colour: Colour = "grey",
    batch: int | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """How sure ``model`` is of each image's label with a square at each place of a grid: (n, rows, columns) float32.

    The value is the logit of the true class minus the logsumexp of the others: the log odds of the label under softmax.
    The places, and the sizes that stand for None, are those of the attack occlusion-worst. Raises InputError when model
    and images do not fit together, and for images that are not square.
    """
    check_images(images)
    height, width = images.images.shape[-2:]
    if height != width or not len(images):
        raise InputError(expected("occlusion map", "at least one image, square", f"{len(images)} of {height}×{width}"))
    attack = worst(height, size=size, stride=stride, colour=colour)
    device = placed(device)
    network = private(model, device, images.images)
    batches = batched("occlusion map", images, batch, device)

    def places(some: Tensor) -> Tensor:
        pixels, labels = fetch(images, some, device)
        changed = (
            attacked(network, pixels, labels, attack, Budget(trial=trial, ids=some)) for trial in range(attack.trials)
        )
        return torch.stack([-margin(outputs(network, x, images), labels).cpu() for x in changed], 1)

    side = round(attack.trials**0.5)  # the grid has as many rows as columns
    with seeds.default_stream(0, "network", "occlusion map"):
        classify(network, fetch(images, torch.arange(1), device)[0], images)  # raises where they do not fit
        rows = [found for _, found in batches.over(torch.arange(len(images)), places)]
    return torch.cat(rows).view(-1, side, side)
