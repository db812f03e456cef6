"""An attack on a tensor of images, for use in Python."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from windfirm import seeds
from windfirm.attack.budget import Attack
from windfirm.attack.registry import build
from windfirm.data.augment import to_float
from windfirm.data.images import Images
from windfirm.errors import InputError, expected
from windfirm.evaluate.examples import changed
from windfirm.evaluate.loop import evaluate
from windfirm.evaluate.network import private
from windfirm.evaluate.outcome import Outcome
from windfirm.models.asking import returned, taking
from windfirm.models.device import default_modes, placed


def attack(
    model: nn.Module,
    images: Tensor | NDArray[Any],
    labels: Tensor | NDArray[Any],
    name: str | Attack,
    *,
    eps: float | str | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    **options: Any,
) -> Outcome:
    """What the attack called ``name``, or an Attack of your own, does to ``model`` on ``images`` with ``labels`` (n,).

    ``images`` (n, c, h, w) in [0, 1] are rounded to the 256 values of a pixel first. ``options`` are those of the
    attack, such as ``trials=5``. ``eps`` None is 8/255, and has to be given to an attack that goes by L2: a length.
    ``device`` None is the CPU, wherever ``model`` is. Outcome.correct tells for each image how many trials it survived.
    Raises InputError for unknown names and options and for images outside [0, 1].
    """
    data = as_images(model, images, labels)
    return evaluate(model, data, build(name, data.side, **options), eps=eps, seed=seed, device=device)


def perturb(
    model: nn.Module,
    images: Tensor | NDArray[Any],
    labels: Tensor | NDArray[Any],
    name: str | Attack,
    *,
    eps: float | str | None = None,
    seed: int = 0,
    device: torch.device | str | None = None,
    **options: Any,
) -> Tensor:
    """The images, (n, c, h, w) float32 in [0, 1] on the CPU, that the attack called ``name`` makes of ``images``.

    Of an attack that averages over draws they are those of the first; of any other, for each image those of the first
    trial that fools ``model``, or of the last. Images that ``model`` gets wrong as they are get attacked as well. All
    else is as in ``attack``.
    """
    data, device = as_images(model, images, labels), placed(device)
    made = build(name, data.side, **options)
    return changed(model, data, made, torch.arange(len(data)), eps=made.size(eps), seed=seed, device=device)[0]


@default_modes()
def as_images(model: nn.Module, images: Tensor | NDArray[Any], labels: Tensor | NDArray[Any] | None) -> Images:
    """``images``, uint8 or in [0, 1], with ``labels`` and as many classes as ``model`` tells apart.

    Raises InputError for images outside [0, 1] and for labels that do not fit.
    """
    images = _tensor("images", images)
    if labels is None:
        raise InputError(expected("labels", "one for each image", "none"))
    labels = _tensor("labels", labels)
    if labels.is_floating_point() or labels.is_complex():
        raise InputError(expected("labels", "whole numbers", labels.dtype))
    shape = tuple(images.shape)
    if images.ndim != 4 or not images.numel():
        raise InputError(expected("images", "at least one, of shape (n, c, h, w)", f"shape {shape}"))
    if images.dtype == torch.uint8:
        pixels = images.cpu()
    elif images.is_floating_point() and bool(((images >= 0) & (images <= 1)).all()):
        pixels = (images.cpu() * 255).round().to(torch.uint8)
    else:
        within = f" in [{images.min():.4g}, {images.max():.4g}]" if images.is_floating_point() else ""
        raise InputError(expected("images", "uint8, or floating point in [0, 1]", f"{images.dtype}{within}"))
    with taking(shape), torch.no_grad(), seeds.default_stream(0, "classes"):
        logits = private(model, None, pixels)(to_float(pixels[[0, -1]]))  # two, as some squeeze a batch of one
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[1] < 2:
        raise InputError(expected("model", "outputs of shape (n, classes), 2 classes or more", returned(logits)))
    return Images(pixels, labels.to("cpu", torch.int64), tuple(map(str, range(logits.shape[-1]))), "images")


def _tensor(what: str, values: Any) -> Tensor:
    if isinstance(values, Images):
        raise InputError(expected(what, "a tensor, or windfirm.evaluate for Images", "Images"))
    try:
        if isinstance(values, np.ndarray):
            values = np.ascontiguousarray(values)  # a view may run backwards, as tensors cannot
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(expected(what, "a tensor", type(values).__name__)) from error
