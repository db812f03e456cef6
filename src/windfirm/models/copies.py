"""A copy of a network, which can be changed without touching the network itself."""

import copy
from collections.abc import Collection

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.errors import CutError, expected, first_line
from windfirm.models.meta import leftovers, require_data, with_tensors
from windfirm.models.mode import minds, switched


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


def to_train(model: nn.Module) -> nn.Module:
    """``model``, or a copy in training mode where a ``train`` of its own may have made its tensors fit for another.

    Raises CutError as copied does.
    """
    return switched(copied(model), training=True) if minds(model) else model


def awake(model: nn.Module, idle: Collection[str] = ()) -> nn.Module | None:
    """A copy in which no channel's weights are zero, so that each has a say; None where none are, but for biases.

    A branch that starts as nothing, by a scale or a last layer of zeros, shows in no output what goes on inside. The
    scale may be a buffer, as where code fades a branch in; buffers that are ``idle`` stay as they are.
    """
    if not _silent(model, idle):
        return None
    network = copied(model)
    with torch.no_grad():
        for name, tensor in _silent(network, idle):
            generator = seeds.stream(0, "awake", name)
            if tensor.ndim > 1:
                values = torch.randn(tensor.shape, generator=generator) / tensor[0].numel() ** 0.5
            else:
                values = torch.rand(tensor.shape, generator=generator) + 0.5
            tensor.data = torch.where(tensor == 0, values.to(tensor), tensor)  # which may be expanded
    return network


def _silent(model: nn.Module, idle: Collection[str]) -> list[tuple[str, Tensor]]:
    """The parameters in which a channel, in or out, is zero, and the buffers that are zero as a whole.

    Single zeros of a buffer may have a meaning, as those of a mask. A bias silences nothing, nor does a running mean.
    """
    buffers = ((name, buffer) for name, buffer in model.named_buffers() if name not in idle)
    found: list[tuple[str, Tensor, int]] = [(name, tensor, 2) for name, tensor in model.named_parameters()]
    found += [(name, tensor, 0) for name, tensor in buffers if tensor.layout is torch.strided]
    return [
        (name, tensor)
        for name, tensor, axes in found
        if tensor.is_floating_point() and tensor.numel() and not name.endswith(("bias", "running_mean"))
        if _is_zero_along(tensor.detach() == 0, axes)
    ]


def _is_zero_along(none: Tensor, axes: int) -> bool:
    """Whether there is nothing at all, or at one index of the first ``axes`` axes."""
    sizes = enumerate(none.shape[:axes])
    return bool(none.all()) or any(bool(none.movedim(axis, 0).reshape(size, -1).all(1).any()) for axis, size in sizes)
