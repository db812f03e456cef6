"""The checks that every comparison runs: is there a reason to doubt what was measured?"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.attack.budget import EPS
from windfirm.attack.pgd import pgd
from windfirm.attack.square import square
from windfirm.data.images import Images
from windfirm.evaluate import probes, warnings
from windfirm.evaluate.loop import curve, evaluate, fetch
from windfirm.evaluate.memory import batched
from windfirm.evaluate.network import as_judged, classify, private
from windfirm.evaluate.outcome import Outcome
from windfirm.evaluate.warnings import Checks
from windfirm.models.device import default_modes, placed

#: Images that are looked at.
CHECKED = 200
#: FGSM is followed up to half the range of a pixel, where every image can be made grey.
EPSES = tuple(eps / 255 for eps in (0, 1, 2, 8, 32, 127.5))
#: PGD of the second number of steps must find hardly anything that PGD of the first did not.
STEPS = 10, 40
#: What gradients leave is asked of Square, which sees outputs alone, with so many queries.
QUERIES = 500
#: Images that are shown again and again.
REPEATED = 50


@default_modes()
def checks(
    model: nn.Module,
    images: Images,
    outcomes: Sequence[Outcome] = (),
    *,
    count: int = CHECKED,
    device: torch.device | str | None = None,
) -> Checks:
    """Probe ``model`` on up to ``count`` of ``images``, evenly spread over them, and ``outcomes`` on all of them.

    Raises InputError when model and images do not fit together.
    """
    some = images[_spread(len(images), count)]
    device = placed(device)
    network = private(model, device, some.images)
    pixels, labels = fetch(some, torch.arange(len(some)), device)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    batches = batched("checks", some, None, device)
    with as_judged(pixels.device), seeds.default_stream(0, "network", "checks"):
        classify(network, pixels[:1], images)  # raises where they do not fit
        found = [
            *probes.training_mode(network),
            *probes.outputs(network, pixels[:REPEATED], batches),
            *probes.answers(network, pixels, labels, batches),
            *probes.gradients(network, pixels, labels, batches, EPS),
        ]
        has_gradient = probes.differentiable(network, pixels[:1])
    if has_gradient:
        swept = curve(model, some, EPSES, device=device)
        fewer, more = (evaluate(model, some, pgd(some.side, steps=n), eps=EPS, device=device) for n in STEPS)
        found += warnings.along(swept, some.labels.numpy())
        found += warnings.still_helping(fewer, more, "steps")
        found += warnings.among([*swept, more])
        gradients = warnings.worst_of([*(one for one in swept if one.eps == EPS), more])
        left = torch.from_numpy(gradients.correct).nonzero()[:, 0]
        if len(left):
            unseen = evaluate(model, some[left], square(some.side, queries=QUERIES), eps=EPS, device=device)
            found += warnings.left_over(unseen, gradients)
    return Checks(len(some), (*found, *warnings.among(outcomes)))


def _spread(images: int, count: int) -> Tensor:
    """``count`` numbers of images, evenly spread: images often come ordered by class."""
    return torch.linspace(0, images - 1, min(images, count)).round().long()
