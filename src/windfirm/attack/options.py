"""What the factories of attacks share: checks of their options, and words for their titles."""

from typing import get_args

from windfirm.attack.budget import Norm
from windfirm.errors import InputError, expected


def check(name: str, norm: Norm, **counts: int) -> None:
    """Raise InputError, which starts with ``name``, for an unknown norm and for counts below 1."""
    if norm not in get_args(Norm):
        raise InputError(expected(name, f"a norm out of {', '.join(get_args(Norm))}", norm))
    for what, count in counts.items():
        if count < 1:
            raise InputError(expected(name, f"{what} of at least 1", count))


def some(count: int, what: str) -> str:
    """``1 restart``, ``5,000 queries`` with the comma: a count in words for titles."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
