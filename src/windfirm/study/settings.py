"""What a study can be told: every setting with its type, its default and its check."""

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from windfirm.adjust.adjustments import ADJUSTMENTS
from windfirm.adjust.schedule import SCHEDULES
from windfirm.attack.budget import Norm, parse_eps
from windfirm.data.picture import RESIZES
from windfirm.defend.registry import DEFENCES
from windfirm.errors import InputError, expected, nearest
from windfirm.models.registry import ARCHITECTURES
from windfirm.prune.both import CHOICES
from windfirm.prune.budget import BUDGETS
from windfirm.prune.criteria import CRITERIA
from windfirm.prune.propose import STRUCTURES
from windfirm.prune.select import RANKINGS

#: For a setting that takes a name: do without.
NONE = "none"

#: ``check(where, value)`` returns the value as it is used. Raises InputError.
Check = Callable[[str, Any], Any]


@dataclass(frozen=True)
class Setting:
    """``default`` is None where another setting, or the part that uses it, decides."""

    default: Any
    check: Check


def name(known: Collection[str], *, none: bool = False, others: Callable[[str], bool] = lambda text: False) -> Check:
    """One of ``known``, or ``none``, or what ``others`` takes."""
    listed = [NONE, *known] if none else list(known)

    def check(where: str, value: Any) -> str:
        if not isinstance(value, str) or not (value in listed or others(value)):
            got, hint = (value, nearest(value, listed)) if isinstance(value, str) else (show(value), "")
            raise InputError(expected(where, f"one of {', '.join(listed)}", got) + hint)
        return value

    return check


def text(where: str, value: Any) -> str:
    """Any text but an empty one."""
    if not isinstance(value, str) or not value:
        raise InputError(expected(where, "a text", show(value)))
    return value


def count(where: str, value: Any) -> int:
    """A whole number of at least 1."""
    if type(value) is not int or value < 1:
        raise InputError(expected(where, "a whole number of at least 1", show(value)))
    return value


def number(wanted: str, fits: Callable[[float], bool]) -> Check:
    """A number that ``fits``, kept as a float so that 1 and 1.0 are one setting."""

    def check(where: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not fits(value):
            raise InputError(expected(where, wanted, show(value)))
        return float(value)

    return check


def truth(where: str, value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise InputError(expected(where, "true or false", show(value)))
    return value


def texts(where: str, value: Any) -> list[str]:
    """A list of texts."""
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise InputError(expected(where, "a list of texts", show(value)))
    return value


def numbers(where: str, value: Any) -> list[float]:
    """A list of finite numbers."""
    known = isinstance(value, list) and value and all(type(entry) in (int, float) for entry in value)
    if not known or not all(map(math.isfinite, value)):
        raise InputError(expected(where, "a list of finite numbers", show(value)))
    return [float(entry) for entry in value]


def size(where: str, value: Any) -> list[int]:
    """Of an image: channels, height and width."""
    known = isinstance(value, list) and len(value) == 3 and all(type(entry) is int for entry in value)
    if not known or min(value) < 1:
        raise InputError(expected(where, "a size [channels, height, width]", show(value)))
    return value  # type: ignore[no-any-return]


def eps(where: str, value: Any, norm: Norm = "linf") -> float:
    """A size of change, as a number in [0, 1]; in ``l2`` as any length."""
    try:
        return parse_eps(value if isinstance(value, str | int | float) else math.nan, norm)
    except InputError as error:
        wanted = str(error).removeprefix("eps: expected ").partition(", got ")[0]
        raise InputError(expected(where, wanted, value if isinstance(value, str) else show(value))) from error


def show(value: Any) -> str:
    """A value as people write it in TOML: a text in quotes, which tell it from a number."""
    if isinstance(value, list):
        return f"[{', '.join(map(show, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def has_colon(value: str) -> bool:
    """Whether it names something of the user's own, as ``package.module:name``."""
    return ":" in value


def _is_library(value: str) -> bool:
    return ":" in value or value.startswith(("timm/", "torchvision/"))


_share = number("a number in (0, 1)", lambda value: 0 < value < 1)
_positive = number("a number above 0", lambda value: 0 < value < math.inf)

#: Every setting by its dotted name.
SETTINGS: Mapping[str, Setting] = MappingProxyType(
    {
        "network.arch": Setting("resnet56", name(ARCHITECTURES, others=_is_library)),
        "network.weights": Setting("train", text),  # train, shipped, or a file
        "network.input": Setting(None, size),  # what the network itself says, as mean and std
        "network.mean": Setting(None, numbers),
        "network.std": Setting(None, numbers),
        "data.name": Setting("embedded", text),
        "data.train": Setting(None, count),  # images; all of them by default
        "data.test": Setting(None, count),
        "data.resize": Setting("crop", name(RESIZES)),
        "train.epochs": Setting(50, count),
        "train.lr": Setting(0.1, _positive),
        "train.batch": Setting(128, count),
        "train.schedule": Setting("onecycle", name(SCHEDULES)),
        "train.weight-decay": Setting(5e-4, number("a number of at least 0", lambda value: 0 <= value < math.inf)),
        "train.defence": Setting(NONE, name(DEFENCES, none=True, others=has_colon)),
        "train.eps": Setting(8 / 255, eps),
        "defend.name": Setting(NONE, name(DEFENCES, none=True, others=has_colon)),  # F' is trained with it, F is not
        "defend.eps": Setting(8 / 255, eps),
        "prune.structure": Setting(NONE, name(STRUCTURES, none=True)),
        "prune.criterion": Setting("pls", name(CRITERIA, others=has_colon)),
        "prune.rounds": Setting(1, count),
        **{f"prune.{budget}": Setting(None, _share) for budget in BUDGETS},
        "prune.ranking": Setting("global", name(RANKINGS)),
        "prune.floor": Setting(0.1, number("a number in [0, 1]", lambda value: 0 <= value <= 1)),
        "prune.protect": Setting([], texts),
        "prune.choose": Setting("alternate", name(CHOICES)),
        "prune.plain-layers": Setting(False, truth),
        "prune.images": Setting(None, count),  # that criteria look at; those of training by default
        "adjust.name": Setting(NONE, name(ADJUSTMENTS, none=True)),
        "adjust.epochs": Setting(None, count),
        "adjust.lr": Setting(None, _positive),
        "adjust.defence": Setting(NONE, name(DEFENCES, none=True, others=has_colon)),
        "adjust.eps": Setting(8 / 255, eps),
        "attacks.trials": Setting(None, count),  # of attacks that average over draws, where they do not say so
        "control": Setting(True, truth),
    }
)


#: What takes a list as one value.
LISTS = (texts, numbers, size)


def listed(dotted: str, value: Any) -> bool:
    """Whether ``value`` is a list of values for the setting, and not one value (which may be a list itself)."""
    if not isinstance(value, list):
        return False
    return SETTINGS[dotted].check not in LISTS or any(isinstance(entry, list) for entry in value)


def unknown(where: str, dotted: str, known: Collection[str]) -> InputError:
    """The complaint about a setting that there is not, with the nearest that there is."""
    guess = nearest(dotted, known)
    last = {key.rpartition(".")[2]: key for key in known}
    if not guess and (near := get_close_matches(dotted.rpartition(".")[2], last, n=1)):  # its table was left out
        guess = f"; did you mean {last[near[0]]}?"
    return InputError(expected(where, "a setting that there is", dotted) + guess)
