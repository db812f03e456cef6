"""A copy of a network, which can be changed without touching the network itself."""

import copy

import torch
from torch import Tensor, nn

from windfirm.errors import CutError, expected, first_line
from windfirm.models.meta import with_tensors


def copied(model: nn.Module) -> nn.Module:
    """A deep copy. Raises CutError for a network that holds what cannot be copied, such as an activation it stored."""
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise CutError(expected(type(model).__name__, "a network that can be copied", first_line(error))) from error


def exact(model: nn.Module) -> nn.Module:
    """A copy on the CPU in double precision, in eval mode; also of what is complex, or not registered with a module."""

    def double(tensor: Tensor) -> Tensor:
        tensor = tensor.detach().cpu()
        if tensor.is_complex():
            return tensor.to(torch.complex128)
        return tensor.double() if tensor.is_floating_point() else tensor

    return with_tensors(copied(model), lambda _, tensor: double(tensor)).eval()
