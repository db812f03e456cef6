"""Training images held out, by which a training can be watched, and a checkpoint chosen, without a look at test images.

Robustness can rise and fall while accuracy rises (Rice, Wong & Kolter, ICML 2020): so both are counted.
"""

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.adjust.signs import direction, step
from windfirm.data.augment import to_float
from windfirm.errors import InputError, expected
from windfirm.models.device import batch_size
from windfirm.models.layout import arranged
from windfirm.models.mode import mode

#: The size of the probe's FGSM, in [0, 1].
EPS = 8 / 255


def hold_out(count: int, held: int) -> tuple[Tensor, Tensor]:
    """The positions out of ``count`` that are trained on, and ``held`` others, both in ascending order.

    They follow from the two numbers alone: every seed and every arm of a comparison is watched on the same images.
    Raises InputError when nothing would be left to train on.
    """
    if held >= count:
        raise InputError(expected("probe", f"fewer than the {count} training images", held))
    order = torch.randperm(count, generator=seeds.stream(0, "held out"))
    return order[held:].sort().values, order[:held].sort().values


def judge(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, int]:
    """How many ``images`` (n, c, h, w) uint8 are right as they are (clean), and of those after FGSM (fgsm).

    In float32 and eval mode, on the device of ``labels`` (n,).
    """
    clean = torch.zeros((), dtype=torch.int64, device=labels.device)
    robust = torch.zeros_like(clean)
    size = batch_size(labels.device, images.shape)
    with mode(model, training=False), arranged(model, to_float(images[:2].to(labels.device))):
        for part, target in zip(torch.split(images, size), torch.split(labels, size), strict=True):
            pixels = to_float(part.to(labels.device))
            moved = step(pixels, direction(model, pixels, target), EPS)
            with torch.no_grad():
                right = model(pixels).argmax(1) == target
                clean += right.sum()
                robust += (right & (model(moved).argmax(1) == target)).sum()
    return {"clean": int(clean), "fgsm": int(robust)}
