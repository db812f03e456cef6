"""Images made on one network, shown to another: what a network gains by weaknesses of its own."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.attack.budget import Attack, Budget
from windfirm.attack.registry import build
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.evaluate.loop import attacked, fetch, outcome_of, searched
from windfirm.evaluate.memory import batched
from windfirm.evaluate.network import check_images, classify, private
from windfirm.evaluate.outcome import Outcome
from windfirm.models.device import default_modes, placed


@default_modes()
@torch.no_grad()
def transfer(
    source: nn.Module,
    targets: Mapping[str, nn.Module],
    images: Images,
    attack: str | Attack,
    *,
    name: str = "another network",
    eps: float | str | None = None,
    seed: int = 0,
    batch: int | None = None,
    device: torch.device | str | None = None,
) -> dict[str, Outcome]:
    """What ``attack``, made on ``source``, called ``name``, does to each of ``targets`` (name to network).

    Every target sees the same images. An attack that averages is counted over all images and trials; under any other,
    an image is right when the target gets it right unchanged and after every trial.

    The attack works against the source alone, and a target judges the image that each trial returns. An attack that
    lets go of an image as soon as the source is fooled returns one that barely fools the source, and the unchanged one,
    or its random start, where the source errs without help. Such images carry over less than those of an attack that
    uses all of its budget, as fgsm does. So read the outcome as one of this attack, and not as a bound.

    Raises what evaluate raises.
    """
    if not isinstance(targets, Mapping) or not targets:
        got = "none" if isinstance(targets, Mapping) else type(targets).__name__
        raise InputError(expected("transfer", "at least one target, by its name in a dict", got))
    check_images(images)
    attack, device = build(attack, images.side), placed(device)
    eps = attack.size(eps)
    batches = batched("transfer", images, batch, device)
    judges = {key: private(model, device, images.images) for key, model in targets.items()}
    correct = {key: torch.zeros(len(images), dtype=torch.int64) for key in judges}

    def counts(some: Tensor) -> dict[str, Tensor]:
        pixels, labels = fetch(images, some, device)
        return _counts(maker, judges, images, pixels, labels, attack, Budget(eps, seed, ids=some))

    with seeds.default_stream(seed, "network", "transfer", attack.name):
        maker = searched(private(source, device, images.images), attack, images, device, batches.size)
        for some, found in batches.over(torch.arange(len(images)), counts):
            for key, count in found.items():
                correct[key][some] = count.cpu()
    title = f"{attack.title}, made on {name}"
    return {
        key: replace(outcome_of(attack, eps, count), attack=f"{attack.name} from {name}", title=title)
        for key, count in correct.items()
    }


def matrix(
    models: Mapping[str, nn.Module], images: Images, attack: str | Attack, **options: Any
) -> dict[str, dict[str, Outcome]]:
    """``transfer``, with its ``options``, from each of ``models`` to each, itself included, by source and target."""
    return {name: transfer(source, models, images, attack, name=name, **options) for name, source in models.items()}


def _counts(
    maker: nn.Module,
    judges: Mapping[str, nn.Module],
    images: Images,
    pixels: Tensor,
    labels: Tensor,
    attack: Attack,
    budget: Budget,
) -> dict[str, Tensor]:
    """In how many trials each judge is right (b,); for an attack that does not average, 1 or 0."""
    if attack.average:
        counts = {key: torch.zeros_like(labels) for key in judges}
    else:
        counts = {key: (classify(judge, pixels, images) == labels).long() for key, judge in judges.items()}
    for trial in range(attack.trials):
        # An image is made as long as any judge can still be fooled by it.
        wanted = torch.arange(len(labels), device=labels.device)
        if not attack.average:
            wanted = torch.stack(list(counts.values())).any(0).nonzero()[:, 0]
        if not len(wanted):
            break
        rest = replace(budget.only(wanted, pixels), trial=trial)
        changed = attacked(maker, pixels[wanted], labels[wanted], attack, rest)
        for key, judge in judges.items():
            right = (classify(judge, changed, images) == labels[wanted]).long()
            counts[key][wanted] = counts[key][wanted] + right if attack.average else counts[key][wanted] * right
    return counts
