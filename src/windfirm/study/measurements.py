"""The tables [[attack]] of a study file: what is measured, of which size, and on whose images."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from windfirm import own
from windfirm.attack.registry import ATTACKS, SIDE, build, kinds
from windfirm.errors import InputError, expected, nearest
from windfirm.study.lines import Lines
from windfirm.study.measure import naming
from windfirm.study.settings import count, eps, has_colon, name, show

#: What an attack has beside its options.
OWN = ("name", "eps", "images", "from")

#: The networks that a study measures.
ROLES = ("F", "F'", "control")


@dataclass(frozen=True)
class Measurement:
    """An attack with its options; its size, None where it has none; the number of images, None for all of the study.

    ``source``: the role of the network that images are made on; None for each network that is measured.
    """

    attack: str
    options: Mapping[str, Any]
    eps: float | None
    images: int | None
    source: str | None


def measurements_of(
    attacks: Any, changed: Mapping[str, Any], trials: int | None, lines: Lines
) -> Iterator[Measurement]:
    """What is measured by the tables [[attack]], once each is ``changed`` by what a scale says of its name."""
    if not isinstance(attacks, list) or not attacks or not all(isinstance(entry, dict) for entry in attacks):
        raise InputError(
            expected(lines.where("attack"), "at least one table [[attack]]", show(attacks) if attacks else "none")
        )
    names = [str(entry.get("name")) for entry in attacks]
    for attack, change in changed.items():
        where = lines.where("attack", attack)
        if attack not in names:
            raise InputError(expected(where, f"one of {', '.join(names)}", attack) + nearest(attack, names))
        if not isinstance(change, dict):
            raise InputError(expected(where, "a table of options", show(change)))
    for index, (attack, entry) in enumerate(zip(names, attacks, strict=True)):
        change = changed.get(attack, {})
        places = {key: lines.where("attack", attack, key) for key in change}
        at = partial(_place, places, partial(lines.where, "attack", index))
        yield from _measured({**entry, **change}, trials, at)


def _place(places: Mapping[str, str], otherwise: Callable[[str], str], key: str) -> str:
    return places.get(key) or otherwise(key)


def _measured(entry: Mapping[str, Any], trials: int | None, at: Callable[[str], str]) -> Iterator[Measurement]:
    """One table [[attack]]: a measurement for each of its sizes and sources; ``at`` tells where its keys stand."""
    chosen = name(ATTACKS, others=has_colon)(at("name"), entry.get("name"))
    options = {key: value for key, value in entry.items() if key not in OWN}
    with naming(at("name")):
        known = kinds(chosen)
    for option, value in options.items():
        if option not in known:
            wanted = f"options out of {', '.join([*OWN[1:], *known])}"
            raise InputError(expected(at(option), wanted, option) + nearest(option, known))
        if kind := own.misfit(known[option], value):
            raise InputError(expected(at(option), kind, show(value)))
    with naming(at("name")):
        attack = build(chosen, SIDE, **options)  # which images there are is not known yet
    if trials is not None and attack.average and attack.trials > 1 and "trials" not in options:
        options["trials"] = trials
    images = count(at("images"), entry["images"]) if "images" in entry else None
    several = partial(_several, at)
    sources = [name(ROLES)(at("from"), role) for role in several("from", entry["from"])] if "from" in entry else [None]
    if attack.norm is None and "eps" in entry:
        raise InputError(expected(at("eps"), f"no eps, as {chosen} has none", show(entry["eps"])))
    if attack.norm == "l2" and "eps" not in entry:
        raise InputError(expected(at("name"), f"an eps for {chosen}, a length in L2 such as 0.5", "none"))
    norm, given = attack.norm, several("eps", entry.get("eps", "8/255"))
    sizes = [None] if norm is None else [eps(at("eps"), size, norm) for size in given]
    for source, size in itertools.product(sources, sizes):
        yield Measurement(chosen, options, size, images, source)


def _several(at: Callable[[str], str], key: str, value: Any) -> list[Any]:
    if value == []:
        raise InputError(expected(at(key), "at least one value", "none"))
    return value if isinstance(value, list) else [value]
