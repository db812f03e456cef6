"""A copy of a network, which can be changed without touching the network itself."""

import copy

import torch
from torch import Tensor, nn

from windfirm import seeds
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


def awake(model: nn.Module) -> nn.Module | None:
    """A copy in which no weight is zero, so that every part has a say; None where none is, but for biases.

    A branch that starts as nothing, by a scale or a last layer of zeros, shows in no output what goes on inside.
    """

    def asleep(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
        named = network.named_parameters()
        return [
            (name, p) for name, p in named if p.is_floating_point() and not name.endswith("bias") and (p == 0).any()
        ]

    if not asleep(model):
        return None
    network = copied(model)
    with torch.no_grad():
        for name, parameter in asleep(network):
            generator = seeds.stream(0, "awake", name)
            if parameter.ndim > 1:
                values = torch.randn(parameter.shape, generator=generator) / (parameter[0].numel() ** 0.5 or 1)
            else:
                values = torch.rand(parameter.shape, generator=generator) + 0.5
            parameter.copy_(torch.where(parameter == 0, values.to(parameter), parameter))
    return network
