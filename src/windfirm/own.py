"""What a user wrote and names as ``package.module:name``, and options as its factory declares them.

Never to be called with a name from a file of weights.
"""

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from windfirm.errors import InputError, brief, expected, nearest

#: Types of options that are numbers, and what a complaint calls them.
NUMBERS = ((int, "a whole number"), (float, "a number"))


def imported(spec: str, what: str) -> Any:
    """What ``spec`` names. ``what`` it should be is said in the InputError for all that cannot be imported."""
    place, _, name = spec.partition(":")
    module = None
    try:
        module = importlib.import_module(place)
        return getattr(module, name)
    except Exception as error:  # the user's module may raise anything
        hint = nearest(name, vars(module)) if module else ""
        raise InputError(expected(spec, f"a module:{what} that can be imported", brief(error)) + hint) from error


def factory(name: str, known: Mapping[str, Callable[..., Any]], what: str, kind: type) -> Callable[..., Any]:
    """The one of ``known`` called ``name``, or one of the user's own. Raises InputError for what there is not.

    ``what`` it is in a word; it makes a ``kind``.
    """
    if ":" in name:
        return maker(name, imported(name, what), kind, f"a {kind.__module__}.{kind.__name__}")
    if name not in known:
        wanted = f"one of {', '.join(known)}, or package.module:{what}"
        raise InputError(expected(what, wanted, name) + nearest(name, known))
    return known[name]


def maker(spec: str, make: Callable[..., Any], kind: type, what: str) -> Callable[..., Any]:
    """``make``, called ``spec``, whose errors and other results than a ``kind`` (``what`` in words) are InputErrors."""
    wanted = f"a function that makes {what}"
    if not callable(make) or isinstance(make, kind):  # made already: networks can be called
        raise InputError(expected(spec, wanted, type(make).__name__))

    @functools.wraps(make)
    def checked(*args: Any, **options: Any) -> Any:
        try:
            made = make(*args, **options)
        except Exception as error:  # and so may the function
            raise InputError(expected(spec, wanted, brief(error))) from error
        if not isinstance(made, kind):
            raise InputError(expected(spec, wanted, type(made).__name__))
        return made

    return checked


def kinds(name: str, make: Callable[..., Any]) -> dict[str, Any]:
    """The options of the factory ``make``, called ``name``, and what type each value has; its first argument is none.

    Raises InputError when the types cannot be looked up.
    """
    try:
        parameters = list(inspect.signature(make, eval_str=True).parameters.values())[1:]
    except Exception as error:  # types written as text may name anything
        raise InputError(expected(name, "options whose types can be looked up", brief(error))) from error
    return {parameter.name: parameter.annotation for parameter in parameters}


def misfit(kind: Any, value: Any) -> str | None:
    """What a value of the type ``kind`` is, in words, where ``value`` is none; of numbers (or None), and of bool."""
    if kind is bool:
        return None if isinstance(value, bool) else "true or false"
    accepted = set(get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,))
    if not accepted & {int, float} or accepted - {int, float, NoneType} or (value is None and NoneType in accepted):
        return None
    sort = Real if float in accepted else Integral  # numpy's are as good
    if not isinstance(value, bool) and isinstance(value, sort):
        return None
    return next(wanted for number, wanted in reversed(NUMBERS) if number in accepted)


def number(where: str, wanted: str, value: Any) -> float:
    """``value`` as a float: any number, also numpy's or that of a tensor without axes. Raises InputError for others."""
    if getattr(value, "ndim", None) == 0:
        value = value.item()
    if not isinstance(value, Real):
        raise InputError(expected(where, wanted, " ".join(repr(value).split())[:60]))
    return float(value)


def check(name: str, options: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    """Raise InputError, which starts with ``name``, for options that are not ``known``, or not of the type there."""
    for option, value in options.items():
        if option not in known:
            wanted = f"options out of {', '.join(known)}" if known else "no options"
            raise InputError(expected(name, wanted, option) + nearest(option, known))
        if kind := misfit(known[option], value):
            raise InputError(expected(name, f"{option} as {kind}", repr(value)))
