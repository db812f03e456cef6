"""Asking a network for something: whatever it raises is told as what it is, images that it does not take."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

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


def returned(outputs: object) -> str:
    """What a network returned where logits were expected, in words, and what to do where it is more than a tensor."""
    if isinstance(outputs, Tensor):
        return str(tuple(outputs.shape))
    return f"{type(outputs).__name__}; a network around it can return the logits alone"
