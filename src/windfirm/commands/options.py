"""How options are read and explained: help as wide as the terminal, one line for what cannot be used. No torch here."""

import argparse
import math
import shutil
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, TypeVar

from windfirm.errors import nearest

T = TypeVar("T")


class _Help(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal, at most 100 columns; commands in a plain list."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=24, width=min(shutil.get_terminal_size().columns, 100))

    def _format_action(self, action: argparse.Action) -> str:
        if isinstance(action, argparse._SubParsersAction):
            return "".join(map(self._format_action, action._get_subactions()))
        return super()._format_action(action)


class Parser(argparse.ArgumentParser):
    """argparse with examples kept as they are, no abbreviations, and errors in one line with the nearest spelling."""

    def __init__(self, **options: object) -> None:
        super().__init__(formatter_class=_Help, allow_abbrev=False, **options)  # type: ignore[arg-type]
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        """One line on stderr, exit code 2."""
        message = message.removeprefix("argument ")
        see = " See" if message.endswith("?") else "; see"
        self.exit(2, f"{self.prog}: {message}{see} {self.prog} --help\n")

    def hint(self, option: str) -> str:
        """The option that ``option`` may have meant, in words, or nothing."""
        return nearest(option.partition("=")[0], self._option_string_actions)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        if action.choices is not None and value not in action.choices:
            known = list(action.choices)
            raise argparse.ArgumentError(
                action, f"expected {' or '.join(known)}, got {value}{nearest(str(value), known)}"
            )


def _checked(kind: Callable[[str], T], wanted: str, fits: Callable[[T], bool]) -> Callable[[str], T]:
    """A converter for add_argument that says in one wording what was wanted."""

    def convert(text: str) -> T:
        with suppress(ValueError):
            if fits(value := kind(text)):
                return value
        raise argparse.ArgumentTypeError(f"expected {wanted}, got {text}")

    return convert


def _listed(kind: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """A converter for values with commas between them."""
    return lambda text: tuple(kind(part) for part in text.split(","))


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name.replace("-", "_"), value


def _swept(text: str) -> tuple[str, str, tuple[str, ...]]:
    """The attack, its option, and the values; eps and no values where only the attack is named, as NAME or M:F."""
    name, equals, values = text.partition("=")
    if not equals:
        return name, "eps", ()
    attack, _, option = name.rpartition(":")
    return attack, option.replace("-", "_"), tuple(values.split(","))


WHOLE = _checked(int, "a whole number", lambda n: True)
COUNT = _checked(int, "a whole number of at least 1", lambda n: n >= 1)
NONE_OR_MORE = _checked(int, "a whole number of at least 0", lambda n: n >= 0)
MARGIN = _checked(float, "a number of points in (0, 100]", lambda x: 0 < x <= 100)
DEVICE = _checked(str, "auto, cpu or cuda", lambda name: name in ("auto", "cpu", "cuda"))
SEEDS = _checked(
    _listed(int), "whole numbers that all differ, such as 0,1,2", lambda seeds: len(set(seeds)) == len(seeds)
)
NUMBER = _checked(float, "a number of at least 0", lambda x: 0 <= x < math.inf)
POSITIVE = _checked(float, "a number above 0", lambda x: 0 < x < math.inf)
SHARE = _checked(float, "a number in (0, 1)", lambda x: 0 < x < 1)
FRACTION = _checked(float, "a number in [0, 1]", lambda x: 0 <= x <= 1)
SHAPE = _checked(_listed(int), "three sizes, such as 3,32,32", lambda sizes: len(sizes) == 3 and min(sizes) >= 1)
MEANS = _checked(
    _listed(float), "a number for each channel, such as 0.485,0.456,0.406", lambda xs: all(map(math.isfinite, xs))
)
STDS = _checked(
    _listed(float),
    "a number above 0 for each channel, such as 0.229,0.224,0.225",
    lambda xs: all(0 < x < math.inf for x in xs),
)
SWEEP = _checked(
    _swept,
    "NAME or NAME:OPTION=V,V,… such as occlusion:size=4,8,12",
    lambda sweep: all(sweep[:2]) and all(sweep[2]),
)
OPTION = _checked(_pair, "NAME=VALUE, such as steps=20", all)
