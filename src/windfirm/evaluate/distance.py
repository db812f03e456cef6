"""The distance at which a network falls: for each image the shortest change that was seen to fool it.

An attack is only believed as far as the network can be seen to be wrong, and is then improved upon. So a distance is
an upper bound of the true one, whatever the attack; attacks that look for short changes give the close ones.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn

from windfirm import seeds
from windfirm.attack.budget import Attack, Budget, Norm
from windfirm.attack.projection import length
from windfirm.attack.registry import build
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.evaluate.loop import Progress, attacked, fetch, searched
from windfirm.evaluate.memory import batched
from windfirm.evaluate.network import check_images, classify, private
from windfirm.evaluate.outcome import Outcome
from windfirm.models.device import default_modes, in_float32, placed


@dataclass(frozen=True, eq=False)
class Distances:
    """What ``distances`` found.

    ``sizes`` (n,) float64: for each image the length, in ``norm``, of a change that fools; 0 where the network is wrong
    with no change at all, infinity where no change up to ``largest`` was found.
    """

    attack: str
    title: str
    norm: Norm
    largest: float
    sizes: NDArray[np.float64]

    def at(self, eps: float) -> Outcome:
        """Which images survive changes of at most ``eps``, a point of the curve of accuracy against eps.

        Raises InputError for an eps beyond ``largest``: nobody looked there.
        """
        if not 0 <= eps <= self.largest:
            raise InputError(expected("eps", f"a change that was looked for, in [0, {self.largest:.6g}]", eps))
        return Outcome(self.attack, self.title, eps, 1, (self.sizes > eps).astype(np.int64))


def median(sizes: NDArray[np.float64], level: float = 0.95) -> tuple[float, float, float]:
    """The median of ``sizes`` (n,) >= 0 and an interval for it: (median, low, high). Any of them may be infinite.

    The interval lies between two of the sizes, in order: how many are below the true median is binomial, whatever their
    distribution (David & Nagaraja, Order Statistics, 2003, section 7.1). For less than 6 images at 0.95 it is all.
    """
    ordered = np.sort(sizes)
    below = int((stats.binom.cdf(np.arange(len(sizes)), len(sizes), 0.5) <= (1 - level) / 2).sum())
    low, high = (ordered[below - 1], ordered[-below]) if below else (0.0, math.inf)
    return float(np.median(ordered)), float(low), float(high)


@default_modes()
@torch.no_grad()
def distances(
    model: nn.Module,
    images: Images,
    attack: str | Attack,
    *,
    largest: float | str | None = None,
    halvings: int = 10,
    seed: int = 0,
    batch: int | None = None,
    device: torch.device | str | None = None,
    progress: Progress | None = None,
) -> Distances:
    """How far each of ``images`` is from fooling ``model``, as far as ``attack`` and a bisection find out.

    Best with attacks that look for the shortest change: ``deepfool``, and ``fab-t`` with ``minimal=True``. ``largest``:
    the eps that they get, by default the longest change that there is. Each change that fools is then shortened: the
    line from the image to it is cut in half ``halvings`` times. ``progress`` counts images. Raises InputError for an
    attack without a norm, and what evaluate raises.
    """
    check_images(images)
    attack = build(attack, images.side)
    if attack.norm is None:
        raise InputError(expected("distances", "an attack whose changes have a norm", attack.name))
    norm = attack.norm
    if halvings < 0:
        raise InputError(expected("distances", "0 or more halvings", halvings))
    device = placed(device)
    batches = batched("distances", images, batch, device)
    if largest is None:
        largest = 1.0 if norm == "linf" else math.sqrt(images.images[0].numel())
    largest = attack.size(largest)
    network = private(model, device, images.images)

    def nearest(ids: Tensor) -> Tensor:
        pixels, labels = fetch(images, ids, device)
        found = torch.zeros(len(ids), dtype=torch.float64, device=pixels.device)
        right = classify(network, pixels, images) == labels
        if right.any():
            ids, pixels, labels = ids[right.cpu()], pixels[right], labels[right]
            found[right] = torch.stack([within(ids, pixels, labels, trial) for trial in range(attack.trials)]).amin(0)
        return found.cpu()

    def within(ids: Tensor, pixels: Tensor, labels: Tensor, trial: int) -> Tensor:
        with in_float32():  # a search that rounds would stop a little too early just where it is nearest
            changed = attacked(target, pixels, labels, attack, Budget(largest, seed, trial, ids))
        fooled = classify(network, changed, images) != labels
        near = shortened(network, pixels, changed, labels, images, halvings)
        size = length(near.double() - pixels.double(), norm).clamp(max=largest)  # beyond it by rounding alone: checked
        return torch.where(fooled, size, torch.inf)

    sizes = torch.zeros(len(images), dtype=torch.float64)
    with seeds.default_stream(seed, "network", "distances", attack.name):
        target = searched(network, attack, images, device, batches.size)
        for some, found in batches.over(torch.arange(len(images)), nearest):
            sizes[some] = found
            if progress:
                progress(int(some[-1]) + 1, len(images))
    return Distances(attack.name, attack.title, norm, largest, sizes.numpy())


def shortened(
    network: nn.Module, pixels: Tensor, changed: Tensor, labels: Tensor, images: Images, halvings: int
) -> Tensor:
    """The nearest points to ``pixels`` (b, c, h, w) seen to fool, in a bisection of the lines to ``changed``.

    Where none of the points between fools, ``changed`` itself.
    """
    nearest = changed
    low, high = (changed.new_full((len(changed), 1, 1, 1), end) for end in (0, 1))
    for _ in range(halvings):
        middle = (low + high) / 2
        tried = pixels.lerp(changed, middle)
        fooled = (classify(network, tried, images) != labels)[:, None, None, None]
        nearest = torch.where(fooled, tried, nearest)
        low, high = torch.where(fooled, low, middle), torch.where(fooled, middle, high)
    return nearest
