"""Attacks by the names that tables print and the command line takes."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, get_args

from windfirm import own
from windfirm.attack import apgd, corruptions, fab, occlusion, semantic
from windfirm.attack.autoattack import autoattack
from windfirm.attack.budget import Attack
from windfirm.attack.clean import clean
from windfirm.attack.deepfool import deepfool
from windfirm.attack.fgsm import fgsm
from windfirm.attack.pgd import pgd
from windfirm.attack.square import square
from windfirm.errors import InputError, expected
from windfirm.models.device import default_modes

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
        "pgd": pgd,
        "apgd-ce": apgd.apgd_ce,
        "apgd-dlr": apgd.apgd_dlr,
        "apgd-t": apgd.apgd_t,
        "fab-t": fab.targeted,
        "square": square,
        "autoattack": autoattack,
        "deepfool": deepfool,
        **corruptions.FACTORIES,
    }
)

#: A side for which attacks are checked before any image is there: as long as any, so that what may fit passes, and no
#: longer, as those of the user's own may make something of that size.
SIDE = 1024


@default_modes()
def build(name: str | Attack, image_side: int = 32, **options: Any) -> Attack:
    """The attack called ``name``, or one of the user's own, for images ``image_side`` pixels high and wide.

    ``package.module:function`` names a factory like those of ATTACKS, which is imported; an Attack is itself. Sizes
    that are not given in ``options`` grow with the side. Raises InputError for an unknown name or option, for a value
    out of range, and for what is no such factory.
    """
    if isinstance(name, Attack):
        if options:
            raise InputError(expected(name.name, "no options, as it is made already", next(iter(options))))
        return name
    if not isinstance(name, str):
        raise InputError(expected("attack", "a name or an Attack", type(name).__name__))
    own.check(name, options, kinds(name))
    if options.get("trials", 1) < 1:
        raise InputError(expected(name, "at least 1 trial", options["trials"]))
    attack = factory(name)(image_side, **options)
    if ":" in name and attack.name in ATTACKS:
        raise InputError(expected(name, "an attack with a name of its own", attack.name))
    return attack


def factory(name: str) -> Callable[..., Attack]:
    """What makes the attack called ``name``. Raises InputError for what there is not, or cannot be imported."""
    return own.factory(name, ATTACKS, "attack", Attack)


def kinds(name: str) -> dict[str, Any]:
    """The options of the attack called ``name``, and what type each value has. Raises InputError as factory does."""
    return own.kinds(name, factory(name))


def read(name: str, option: str, text: str) -> Any:
    """The value that ``text`` stands for as ``option`` of the attack called ``name``.

    Raises InputError when it is not of the option's type; whether it is in range is for build to say.
    """
    kind = kinds(name)[option]
    for number, wanted in own.NUMBERS:
        if number in (kind, *get_args(kind)):
            try:
                return number(text)
            except ValueError:
                raise InputError(expected(name, f"{option} as {wanted}", text)) from None
    if kind is bool:
        if text not in ("yes", "no"):
            raise InputError(expected(name, f"{option} as yes or no", text))
        return text == "yes"
    return text
