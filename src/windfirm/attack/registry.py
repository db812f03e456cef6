"""Attacks by the names that tables print and the command line takes."""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from windfirm.attack import corruptions, occlusion, semantic
from windfirm.attack.budget import Attack
from windfirm.attack.clean import clean
from windfirm.attack.fgsm import fgsm
from windfirm.errors import InputError, expected, nearest

#: Name to factory: ``factory(side, **options) -> Attack``.
ATTACKS: Mapping[str, Callable[..., Attack]] = MappingProxyType(
    {
        "clean": clean,
        "semantic": semantic.hue,
        "semantic-shift": semantic.shift,
        "semantic-search": semantic.search,
        "semantic-grid": semantic.grid,
        "occlusion": occlusion.average,
        "occlusion-search": occlusion.search,
        "occlusion-worst": occlusion.worst,
        "fgsm": fgsm,
        **corruptions.FACTORIES,
    }
)


def build(name: str, image_side: int = 32, **options: Any) -> Attack:
    """The attack called ``name`` for images ``image_side`` pixels high and wide.

    Sizes that are not given in ``options`` grow with the side. Raises InputError for an unknown name or option, and for
    a value out of range.
    """
    if name not in ATTACKS:
        raise InputError(expected("attack", f"one of {', '.join(ATTACKS)}", name) + nearest(name, ATTACKS))
    factory = ATTACKS[name]
    known = list(inspect.signature(factory).parameters)[1:]
    for option in options:
        if option not in known:
            raise InputError(expected(name, f"options out of {', '.join(known)}" if known else "no options", option))
    if options.get("trials", 1) < 1:
        raise InputError(expected(name, "at least 1 trial", options["trials"]))
    return factory(image_side, **options)
