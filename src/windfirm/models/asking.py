"""Asking a network for something: whatever it raises is told as what it is, images that it does not take."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from windfirm.errors import InputError, WindfirmError, expected, first_line
from windfirm.models.device import out_of_memory


@contextmanager
def taking(shape: Sequence[int]) -> Iterator[None]:
    """Make an InputError of what a network raises inside the block, where it is shown images of this shape.

    Errors of this project, and those that say that no memory was left, stay as they are.
    """
    try:
        yield
    except Exception as error:  # a network may raise anything
        if isinstance(error, WindfirmError) or out_of_memory(error):
            raise
        wanted = f"a network that takes images of shape {tuple(shape)}"
        raise InputError(expected("model", wanted, f"an error: {first_line(error)}")) from error
