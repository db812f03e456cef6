"""``--sweep``: accuracy against eps, or against an option of an attack."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from windfirm.attack.budget import Norm, parse_eps
from windfirm.attack.registry import ATTACKS, build, kinds, read
from windfirm.commands.shared import options_of
from windfirm.errors import InputError, expected, nearest
from windfirm.evaluate.curves import EPSES, Sweep, sweep


def chosen_sweeps(args: Namespace, side: int) -> list[Sweep]:
    """What every ``--sweep`` asks for, on images of this side; ``--option`` and ``--trials`` hold here too.

    Raises InputError for what cannot be swept, with the nearest that can, and for a sweep that is asked for twice.
    """
    found: dict[tuple[str, str], Sweep] = {}
    for name, option, texts in args.sweep:
        if name not in ATTACKS and name.partition(":")[0] in ATTACKS:
            raise InputError(expected("--sweep", "NAME:OPTION=V,V,… such as occlusion:size=4,8,12", name))
        where = f"--sweep {name}"
        if (name, option) in found:
            raise InputError(expected(where, f"one sweep of {option}", "two"))
        options = options_of(args, name, side)
        norm = build(name, side, **options).norm
        known = [*(["eps"] if norm else []), *_numbers(kinds(name))]
        if option not in known:
            wanted = f"one of {', '.join(known)} to go over" if known else "an attack with a number to go over"
            raise InputError(expected(where, wanted, option if texts else "none") + nearest(option, known))
        values = _epses(where, texts, norm) if option == "eps" else [read(name, option, text) for text in texts]
        if len(values) < 2 or len(set(values)) < len(values):
            raise InputError(expected(where, f"at least two values of {option}, all different", ",".join(texts)))
        options.pop(option, None)
        found[name, option] = sweep(name, side, option, values, **options)
    return list(found.values())


def _numbers(options: Mapping[str, Any]) -> list[str]:
    """The options that are whole numbers or numbers, ``None`` allowed or not."""
    return [option for option, kind in options.items() if {int, float} & {kind, *get_args(kind)}]


def _epses(where: str, texts: Sequence[str], norm: Norm | None) -> Sequence[float]:
    if not texts and norm == "l2":
        raise InputError(expected(where, "lengths to go over, such as eps=0,0.25,0.5,1", "none"))
    return [parse_eps(text, norm) for text in texts] or EPSES
