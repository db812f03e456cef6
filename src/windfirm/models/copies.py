"""A copy of a network, which can be changed without touching the network itself."""

import copy

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.errors import CutError, expected, first_line
from windfirm.models.meta import leftovers, require_data, with_tensors
from windfirm.models.mode import switched


def copied(model: nn.Module) -> nn.Module:
    """A deep copy. Raises CutError for a network that holds what cannot be copied, such as an open file."""
    try:
        return copy.deepcopy(model, leftovers(model))
    except Exception as error:
        raise CutError(expected(type(model).__name__, "a network that can be copied", first_line(error))) from error


def exact(model: nn.Module) -> nn.Module:
    """A copy on the CPU in double precision, in eval mode; also of what is complex, or not registered with a module.

    Raises InputError for a network without data, and CutError as copied does.
    """

    def double(tensor: Tensor) -> Tensor:
        tensor = tensor.detach().cpu()
        if tensor.is_complex():
            return tensor.to(torch.complex128)
        return tensor.double() if tensor.is_floating_point() else tensor

    require_data(model)
    return switched(with_tensors(copied(model), lambda _, tensor: double(tensor)), training=False)


def awake(model: nn.Module) -> nn.Module | None:
    """A copy in which no channel's weights are zero, so that each has a say; None where none are, but for biases.

    A branch that starts as nothing, by a scale or a last layer of zeros, shows in no output what goes on inside.
    """
    if not any(map(_silent, model.named_parameters())):
        return None
    network = copied(model)
    with torch.no_grad():
        for name, parameter in filter(_silent, network.named_parameters()):
            generator = seeds.stream(0, "awake", name)
            if parameter.ndim > 1:
                values = torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5
            else:
                values = torch.rand(parameter.shape, generator=generator) + 0.5
            parameter.copy_(torch.where(parameter == 0, values.to(parameter), parameter))
    return network


def _silent(named: tuple[str, nn.Parameter]) -> bool:
    """Whether all that a parameter holds of some channel, in or out, is zero; a bias silences nothing."""
    name, parameter = named
    if not parameter.is_floating_point() or name.endswith("bias") or not parameter.ndim or not parameter.numel():
        return False
    none = parameter.detach() == 0
    sizes = enumerate(parameter.shape[:2])
    return any(bool(none.movedim(axis, 0).reshape(size, -1).all(1).any()) for axis, size in sizes)
