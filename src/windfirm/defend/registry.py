"""Defences by the names that tables print and the command line takes."""

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from windfirm.adjust.objective import Objective
from windfirm.defend.adversarial import fast_at, pgd_at
from windfirm.defend.cutmix import cutmix
from windfirm.defend.cutout import cutout
from windfirm.defend.mixup import mixup
from windfirm.defend.shape_texture import shape_texture
from windfirm.defend.stylized import stylized
from windfirm.defend.trades import trades
from windfirm.errors import InputError, expected, nearest

#: Name to factory: ``factory(side, **options) -> Objective``.
DEFENCES: Mapping[str, Callable[..., Objective]] = MappingProxyType(
    {
        "cutmix": cutmix,
        "cutout": cutout,
        "fast-at": fast_at,
        "mixup": mixup,
        "pgd-at": pgd_at,
        "shape-texture": shape_texture,
        "stylized": stylized,
        "trades": trades,
    }
)


def defence(name: str, side: int = 32, **options: Any) -> Objective:
    """The defence called ``name`` for images ``side`` pixels high and wide, to be given to ``train`` or ``adjust``.

    Sizes that are not given in ``options`` grow with the side. Raises InputError for an unknown name or option, and for
    a value out of range.
    """
    if name not in DEFENCES:
        raise InputError(expected("defence", f"one of {', '.join(DEFENCES)}", name) + nearest(name, DEFENCES))
    factory = DEFENCES[name]
    known = list(inspect.signature(factory).parameters)[1:]
    for option in options:
        if option not in known:
            wanted = f"options out of {', '.join(known)}" if known else "no options"
            raise InputError(expected(name, wanted, option) + nearest(option, known))
    return factory(side, **options)
