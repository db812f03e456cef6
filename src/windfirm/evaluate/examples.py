"""A few images as the networks saw them, for a report to show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from windfirm import seeds
from windfirm.attack.budget import Attack, Budget
from windfirm.attack.registry import build
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.evaluate.loop import attacked, fetch, searched
from windfirm.evaluate.memory import batched
from windfirm.evaluate.network import check_images, classify, private
from windfirm.models.device import default_modes, placed


@dataclass(frozen=True, eq=False)
class View:
    """An attacked image (h, w, c) uint8, rounded for showing, and the class predicted for the unrounded one."""

    image: NDArray[np.uint8]
    predicted: int


@dataclass(frozen=True, eq=False)
class Example:
    """One image: its number in the data set, its label, the image (h, w, c) uint8, and each network's view of it."""

    id: int
    label: int
    attack: str
    image: NDArray[np.uint8]
    views: Mapping[str, View]


def apart(images: Images, count: int) -> list[int]:
    """The numbers of ``count`` images, or of all if there are fewer: far apart, as a folder lies class by class."""
    count = min(count, len(images))
    return [number * len(images) // count for number in range(count)]


@default_modes()
@torch.no_grad()
def examples(
    models: Mapping[str, nn.Module],
    images: Images,
    attack: str | Attack,
    ids: Sequence[int],
    *,
    eps: float | str | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> tuple[Example, ...]:
    """``attack`` on the images numbered ``ids``, made on each of ``models`` (role to network) separately.

    Random changes are those that evaluate makes with the same seed. Of an attack that averages the first draw is shown;
    of any other the first trial that fools the network, or the last. Raises what evaluate raises.
    """
    if not isinstance(models, Mapping):
        raise InputError(expected("examples", "networks by their roles in a dict", type(models).__name__))
    ids = [int(i) for i in ids]
    if not ids or not all(0 <= i < len(images) for i in ids):
        raise InputError(expected("examples", f"image numbers in [0, {len(images)})", ids))
    attack = build(attack, images.side)
    eps = attack.size(eps)
    chosen = torch.tensor(ids)
    views = {
        role: _views(*changed(model, images, attack, chosen, eps=eps, seed=seed, device=device))
        for role, model in models.items()
    }
    return tuple(
        Example(i, int(images.labels[i]), attack.name, _hwc(images.images[i]), {role: views[role][k] for role in views})
        for k, i in enumerate(ids)
    )


@default_modes()
@torch.no_grad()
def changed(
    model: nn.Module,
    images: Images,
    attack: Attack,
    ids: Tensor,
    *,
    eps: float,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> tuple[Tensor, Tensor]:
    """What ``attack`` makes of the images numbered ``ids`` (n,), in [0, 1], (n, c, h, w), and ``model`` of that, (n,).

    Of an attack that averages the first draw; of any other the first trial that fools the network, or the last. Images
    that are wrong as they are get attacked as well. Raises what evaluate raises.
    """
    check_images(images)
    device = placed(device)
    network, batches = private(model, device, images.images), batched("examples", images, None, device)

    def seen(some: Tensor) -> tuple[Tensor, Tensor]:
        pixels, labels = fetch(images, some, device)
        shown, predicted = pixels.clone(), labels.clone()
        left = torch.arange(len(some))
        for trial in range(1 if attack.average else attack.trials):
            shown[left] = attacked(target, pixels[left], labels[left], attack, Budget(eps, seed, trial, some[left]))
            predicted[left] = classify(network, shown[left], images)
            left = torch.nonzero((predicted == labels).cpu())[:, 0]
            if len(left) == 0:
                break
        return shown.clamp(0, 1).cpu(), predicted.cpu()  # what lies outside is within the judge's tolerance

    with seeds.default_stream(seed, "network", "examples", attack.name):
        target = searched(network, attack, images, device, batches.size)
        made, predictions = zip(*(found for _, found in batches.over(ids, seen)), strict=True)
    return torch.cat(made), torch.cat(predictions)


def _views(images: Tensor, predicted: Tensor) -> list[View]:
    rounded = (images * 255).round().to(torch.uint8)
    return [View(_hwc(image), int(label)) for image, label in zip(rounded, predicted, strict=True)]


def _hwc(image: Tensor) -> NDArray[np.uint8]:
    values: NDArray[np.uint8] = image.permute(1, 2, 0).cpu().numpy()
    return values
