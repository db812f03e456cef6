"""Everything that a comparison needs to know about its networks."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from windfirm.attack.budget import Attack
from windfirm.attack.fgsm import fgsm
from windfirm.data.augment import to_float
from windfirm.data.images import Images
from windfirm.errors import InputError
from windfirm.evaluate.calibration import calibration, logits
from windfirm.evaluate.compare import Role, Subject
from windfirm.evaluate.curves import Sweep
from windfirm.evaluate.loop import curve, evaluate
from windfirm.evaluate.network import classify, private
from windfirm.evaluate.outcome import Outcome
from windfirm.models.copies import copied
from windfirm.models.cost import cost
from windfirm.models.device import type_of
from windfirm.models.latency import latencies
from windfirm.study.checks import CHECKED, checks

#: The sizes of FGSM that a robustness curve shows, in [0, 1] pixel units.
CURVE = tuple(eps / 255 for eps in (0.25, 0.5, 1, 2, 4, 8))


def measure(
    role: Role,
    name: str,
    model: nn.Module,
    images: Images,
    attacks: Sequence[Attack],
    *,
    eps: float | str | None = None,
    epses: Sequence[float] = CURVE,
    sweeps: Sequence[Sweep] = (),
    checked: int = CHECKED,
    seed: int = 0,
    device: torch.device | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Subject:
    """Costs, every attack's outcome on every image, FGSM at each of ``epses``, calibration; for the latency see timed.

    The curves of ``sweeps`` are measured at ``eps`` where that is not what grows. ``checked`` of the images are used
    to look for reasons to doubt the outcomes; none where it is 0. ``progress`` counts attacks, sweeps, and one step for
    the rest. Raises InputError, which names the network, when it and the images do not fit together.
    """
    example = to_float(images.images[:1]).contiguous()
    outcomes: list[Outcome] = []
    steps = len(attacks) + len(sweeps) + 1
    with naming(name):
        swept = curve(model, images, epses, seed=seed, device=device) if epses else ()
        arithmetic = cost(model, example.to(type_of(model)))  # which may refuse the network: before hours of attacks
        known = {outcome.eps: outcome for outcome in swept}  # the curve has done this work already
        for done, attack in enumerate(attacks):
            found = known.get(attack.size(eps)) if attack == fgsm(0) else None
            outcomes.append(found or evaluate(model, images, attack, eps=eps, seed=seed, device=device))
            if progress:
                progress(done + 1, steps)
        curves = []
        for done, sweep in enumerate(sweeps, len(attacks)):
            curves.append(sweep.measure(model, images, eps=eps, seed=seed, device=device))
            if progress:
                progress(done + 1, steps)
        doubts = checks(model, images, (*outcomes, *swept), count=checked, device=device) if checked else None
        sureness = calibration(logits(model, images, device=device), images.labels) if len(images) > 1 else None
    if progress:
        progress(steps, steps)
    return Subject(
        role,
        name,
        arithmetic.macs,
        arithmetic.params,
        math.nan,
        tuple(outcomes),
        swept,
        doubts,
        sureness,
        tuple(curves),
    )


def timed(
    subjects: Sequence[Subject], models: Iterable[nn.Module], images: Images, device: torch.device | None = None
) -> list[Subject]:
    """``subjects`` with the latency of their ``models`` for one image, all on ``device`` (the CPU when None) by turns.

    Only so can they be compared: what else the machine does meets all of them alike.
    """
    place = device or torch.device("cpu")
    found = latencies([copied(model).to(place) for model in models], to_float(images.images[:1]).contiguous())
    return [
        replace(subject, latency_ms=1000 * one.median, latency_middle_ms=(1000 * one.low, 1000 * one.high))
        for subject, one in zip(subjects, found, strict=True)
    ]


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Let an InputError about "model" say which of several networks it means."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{name}: {str(error).removeprefix('model: ')}") from error


def check_fit(name: str, model: nn.Module, images: Images) -> None:
    """Raise InputError that names the network unless it takes the images and tells as many classes apart."""
    with naming(name), torch.no_grad():
        classify(private(model, None, images.images), to_float(images.images[:1]), images)
