"""Images from a function of the user's own: ``package.module:factory``."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from windfirm.data.images import Images
from windfirm.errors import InputError, brief, expected, first_line
from windfirm.own import imported

WANTED = "Images, or (images (n, c, h, w) uint8 or in [0, 1], labels (n,)) and class names if you like"


def load_factory(spec: str, split: str) -> Images:
    """What the function that ``spec`` names returns, called with the split's name if it takes it.

    It returns Images, or a tuple of images (n, c, h, w), uint8 or floating point in [0, 1] (which are rounded to the
    256 values of a pixel), labels (n,), and, if they are not to be numbers up to the largest label, class names.
    Tensors and arrays are taken alike. Raises InputError for a function that is not there, raises, or returns others.
    """
    function = imported(spec, "function")
    try:
        if _takes(function, split=split):
            where, made = f"{spec}/{split}", function(split=split)
        elif _takes(function, split):
            where, made = f"{spec}/{split}", function(split)
        else:
            where, made = spec, function()
    except Exception as error:  # the user's function may raise anything
        raise InputError(expected(spec, f"a function that makes the {split} images", brief(error))) from error
    if isinstance(made, Images):
        return made
    if not isinstance(made, tuple) or len(made) not in (2, 3):
        got = f"a tuple of {len(made)}" if isinstance(made, tuple) else type(made).__name__
        raise InputError(expected(spec, WANTED, got))
    pixels, labels = _pixels(spec, made[0]), _labels(spec, made[1])
    if not len(pixels) or not len(labels):
        raise InputError(expected(spec, "at least one image and label", f"{len(pixels)} and {len(labels)}"))
    names = made[2] if len(made) == 3 else range(int(labels.max()) + 1)
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InputError(expected(spec, WANTED, f"{names!r} for class names"))
    return Images(pixels, labels, tuple(map(str, names)), where)


def _takes(function: Callable[..., Any], *given: str, **named: str) -> bool:
    """Whether it can be called so; by a name only if that is one of its own."""
    try:
        signature = inspect.signature(function)
        signature.bind(*given, **named)
    except (TypeError, ValueError):  # it takes none, or does not say
        return False
    return named.keys() <= signature.parameters.keys()


def _pixels(spec: str, values: object) -> Tensor:
    pixels = _tensor(spec, values)
    if pixels.dtype == torch.uint8:
        return pixels
    if pixels.is_floating_point() and bool(((pixels >= 0) & (pixels <= 1)).all()):
        return (pixels * 255).round().to(torch.uint8)
    got = f"{pixels.dtype} in [{pixels.min():.4g}, {pixels.max():.4g}]" if pixels.numel() else str(pixels.dtype)
    raise InputError(expected(spec, "images of uint8, or floating point in [0, 1]", got))


def _labels(spec: str, values: object) -> Tensor:
    labels = _tensor(spec, values)
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise InputError(expected(spec, "labels that are whole numbers", labels.dtype))
    return labels.to(torch.int64)


def _tensor(spec: str, values: object) -> Tensor:
    try:
        return torch.as_tensor(values).detach().cpu()
    except Exception as error:  # whatever torch says about a stranger's object
        raise InputError(expected(spec, WANTED, f"{type(values).__name__} ({first_line(error)})")) from error
