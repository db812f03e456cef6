"""A copy of a network that can be changed without touching the network."""

import copy

from torch import nn

from windfirm.errors import CutError, expected, first_line


def copied(model: nn.Module) -> nn.Module:
    """A deep copy. Raises CutError for a network that holds what cannot be copied, such as an activation it stored."""
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise CutError(expected(type(model).__name__, "a network that can be copied", first_line(error))) from error
