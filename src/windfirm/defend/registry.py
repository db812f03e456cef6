"""Defences by the names that tables print and the command line takes."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

from windfirm import own
from windfirm.adjust.objective import Objective
from windfirm.defend.adversarial import fast_at, pgd_at
from windfirm.defend.cutmix import cutmix
from windfirm.defend.cutout import cutout
from windfirm.defend.mixup import mixup
from windfirm.defend.shape_texture import shape_texture
from windfirm.defend.stylized import stylized
from windfirm.defend.trades import trades
from windfirm.errors import InputError

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
    """The defence called ``name``, or one of the user's own, to be given to ``train`` or ``adjust``.

    ``package.module:function`` names a factory like those of DEFENCES, which is imported. ``side``: how many pixels
    images are high and wide; sizes that are not given in ``options`` grow with it. Raises InputError for an unknown
    name or option, for a value out of range, and for what is no such factory.
    """
    own.check(name, options, kinds(name))
    return factory(name)(side, **options)


def factory(name: str) -> Callable[..., Objective]:
    """What makes the defence called ``name``. Raises InputError for what there is not, or cannot be imported."""
    return own.factory(name, DEFENCES, "defence", Objective)


def kinds(name: str) -> dict[str, Any]:
    """The options of the defence called ``name``, and what type each value has, as far as that can be looked up.

    Raises InputError as factory does.
    """
    made = factory(name)
    with suppress(InputError):
        return own.kinds(name, made)
    return dict.fromkeys([*inspect.signature(made).parameters][1:])
