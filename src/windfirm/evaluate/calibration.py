"""Whether a network is right as often as it says it is, before and after its logits are scaled by one number.

A network that is too sure of itself has small gradients, and looks harder to fool by one step than it is: so
calibration belongs beside a gain under FGSM.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from scipy import optimize
from torch import Tensor, nn

from windfirm import seeds
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.evaluate.loop import fetch
from windfirm.evaluate.memory import batched
from windfirm.evaluate.network import check_images, outputs, private
from windfirm.models.device import default_modes, placed

BINS = 15
#: A temperature is looked for between one over this and this, where the first logit is mostly 1 above the second.
WIDEST = 1_000.0


@dataclass(frozen=True)
class Calibration:
    """Calibration on ``images`` images that the ``temperature`` was not fitted on.

    ``ece``: expected calibration error in [0, 1]; ``nll``: mean negative log-likelihood in nats; ``scaled_``: the same
    after the logits were divided by ``temperature``, which is above 1 for a network that is too sure of itself.
    """

    images: int
    temperature: float
    ece: float
    nll: float
    scaled_ece: float
    scaled_nll: float


def calibration(logits: Tensor, labels: Tensor) -> Calibration:
    """Fit a temperature on every second of ``logits`` (n, classes) with ``labels`` (n,), measure it on the others.

    Every second, because images often come ordered by class. Where the network is right on all of them, each lower
    temperature fits better than the one before: the logits stay as they are, at 1. Raises InputError for fewer than two
    images.
    """
    if len(logits) < 2:
        raise InputError(expected("calibration", "at least two images", len(logits)))
    always_right = bool((logits[::2].argmax(1) == labels[::2]).all())
    found = 1.0 if always_right else temperature(logits[::2], labels[::2])
    logits, labels = logits[1::2].double(), labels[1::2]
    scaled = logits / found
    return Calibration(
        len(logits), found, ece(logits, labels), nll(logits, labels), ece(scaled, labels), nll(scaled, labels)
    )


def ece(logits: Tensor, labels: Tensor, bins: int = BINS) -> float:
    """The expected calibration error in [0, 1] (Guo et al., ICML 2017, section 2).

    Images are sorted into ``bins`` of equal width, open below and closed above, by the largest probability; the error
    is the distance of accuracy and mean confidence in a bin, averaged over the images.
    """
    confidence, predicted = logits.double().softmax(1).max(1)
    gap = (predicted == labels).double() - confidence
    place = ((confidence * bins).ceil().long() - 1).clamp(0, bins - 1)
    sums = gap.new_zeros(bins).index_add(0, place, gap)
    return float(sums.abs().sum() / len(logits))


def nll(logits: Tensor, labels: Tensor) -> float:
    """The mean negative log-likelihood of ``labels`` (n,) in nats, in float64."""
    return float(F.cross_entropy(logits.double(), labels))


def temperature(logits: Tensor, labels: Tensor) -> float:
    """The number that ``logits`` are to be divided by for the smallest nll (Guo et al., section 4.2).

    The nll is convex in the inverse temperature, so that a search over its logarithm finds the one minimum. Where every
    prediction is right there is none: some temperature far below 1 is returned, for which the nll is nearly zero.
    Images whose label the network rules out, with a logit of -inf, have an infinite nll at any temperature and no say
    in it; 1 where there are no others.
    """
    possible = logits.gather(1, labels[:, None])[:, 0] > -torch.inf
    logits, labels = logits.double()[possible], labels[possible]
    if not len(labels):
        return 1.0
    first, second = logits.topk(2).values.unbind(1)
    size = float((first - second).median())
    size = size if 0 < size < math.inf else 1.0
    logits = logits / size
    end = math.log(WIDEST)
    found = optimize.minimize_scalar(
        lambda log: nll(logits / math.exp(log), labels), bounds=(-end, end), options={"xatol": 1e-6}
    )
    return math.exp(found.x) * size


@default_modes()
@torch.no_grad()
def logits(
    model: nn.Module, images: Images, *, batch: int | None = None, device: torch.device | str | None = None
) -> Tensor:
    """The outputs of ``model`` for ``images`` as the evaluator computes them, in eval mode and float32, widened.

    Returns (n, classes) float64 on the CPU, so that what is computed from them is exact to many digits. Raises
    InputError when model and images do not fit together.
    """
    check_images(images)
    device = placed(device)
    network = private(model, device, images.images)
    batches = batched("logits", images, batch, device)
    ids = torch.arange(len(images))

    def widened(some: Tensor) -> Tensor:
        return outputs(network, fetch(images, some, device)[0], images).double().cpu()

    with seeds.default_stream(0, "network", "logits"):
        return torch.cat([found for _, found in batches.over(ids, widened)])
