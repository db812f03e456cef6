"""The poster's question for any two networks, for use in Python."""

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from windfirm.attack.budget import Attack, parse_eps
from windfirm.attack.registry import build
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.evaluate.api import as_images
from windfirm.evaluate.compare import MARGIN, Comparison, Role, check
from windfirm.evaluate.compare import compare as compare_subjects
from windfirm.evaluate.curves import Sweep
from windfirm.models.device import default_modes, placed
from windfirm.study.checks import CHECKED
from windfirm.study.measure import measure, timed


@default_modes()
def compare(
    F: nn.Module,  # noqa: N803
    F_prime: nn.Module,  # noqa: N803
    images: Tensor | NDArray[Any] | Images,
    labels: Tensor | NDArray[Any] | None = None,
    *,
    attacks: str | Attack | Sequence[str | Attack] = ("semantic", "occlusion", "fgsm"),
    control: nn.Module | None = None,
    eps: float | str | None = None,
    epses: Sequence[float | str] = (),
    sweeps: Sequence[Sweep] = (),
    margin: float = MARGIN,
    checked: int = CHECKED,
    seed: int = 0,
    device: torch.device | str | None = None,
) -> Comparison:
    """F′ − F and F′ − control, image by image, on ``images`` (n, c, h, w) in [0, 1] with ``labels`` (n,).

    Clean accuracy is always among the ``attacks``, one or several, which are names or of your own (see attack).
    ``epses`` asks for a curve of FGSM, ``sweeps`` for others, each made by windfirm.evaluate.sweep. Sizes may be
    written ``8/255``; ``eps`` None is that one, and has to be given for an attack that goes by L2: a length. ``images``
    may be an Images, which has its labels in it. ``margin``: the percentage points within which clean accuracy counts
    as the same. ``checked`` of the images are used to look for reasons to doubt the outcomes; none where it is 0.
    ``device`` None is the CPU, wherever the networks are. Raises InputError for unknown attacks and for networks that
    do not take these images.
    """
    if checked < 0:
        raise InputError(expected("checked", "at least 0 images", checked))
    if isinstance(images, Images) and labels is not None:
        raise InputError(expected("labels", "those of the Images alone", "others"))
    if not all(isinstance(entry, Sweep) for entry in sweeps):
        raise InputError(expected("sweeps", "a list of what windfirm.evaluate.sweep makes", repr(sweeps)[:60]))
    device = placed(device)
    data = images if isinstance(images, Images) else as_images(F, images, labels)
    side = data.side
    clean = build("clean", side)
    entries = [attacks] if isinstance(attacks, (str, Attack)) else attacks
    chosen = [attack for attack in (build(entry, side) for entry in entries) if attack != clean]
    if any(attack.name == clean.name for attack in chosen):
        raise InputError(expected("attacks", "an attack with a name of its own", clean.name))
    chosen.append(clean)
    check([attack.name for attack in chosen], margin)
    for attack in [*chosen, *(one.points[0][1] for one in sweeps if one.what != "eps")]:
        attack.size(eps)  # which none of them may take: before any is run
    networks: dict[Role, nn.Module] = {"F": F, "F'": F_prime}
    if control is not None:
        networks["control"] = control
    subjects = [
        measure(
            role,
            role,
            network,
            data,
            chosen,
            eps=eps,
            epses=[parse_eps(one) for one in epses],
            sweeps=sweeps,
            checked=checked,
            seed=seed,
            device=device,
        )
        for role, network in networks.items()
    ]
    subjects = timed(subjects, networks.values(), data, device)
    return compare_subjects(subjects, data=data.name, seed=seed, margin=margin)
