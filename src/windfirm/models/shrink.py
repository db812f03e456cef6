"""Applying kept indices to a network: the one place where a layer becomes physically smaller.

``Kept`` says what stays: name of a parameter or buffer → axis → indices along it, ascending.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.utils.prune import BasePruningMethod

from windfirm.errors import CutError, expected
from windfirm.models.meta import named_tensors

Kept = dict[str, dict[int, list[int]]]


def shrink(model: nn.Module, kept: Mapping[str, Mapping[int, list[int]]]) -> None:
    """Keep only the named indices of ``model``'s parameters and buffers, in place, and mend the layers' attributes.

    Raises CutError, before anything is changed, for a name, axis or index that the network does not have.
    """
    tensors = dict(named_tensors(model))
    for name, axes in kept.items():
        if name not in tensors:
            raise CutError(expected(name, "a parameter or buffer of the network", "none of that name"))
        for axis, indices in axes.items():
            _check(name, tensors[name], axis, indices)
    smaller: dict[int, Tensor] = {}  # by the identity of the old tensor, so that shared ones stay shared
    for name, axes in kept.items():
        smaller.setdefault(id(tensors[name]), _shrunk(tensors[name], axes))
    shrunk = {name: tensor for name, tensor in tensors.items() if id(tensor) in smaller}  # also by their other names
    for name, old in shrunk.items():
        owner, attribute = _locate(model, name)
        if isinstance(old, nn.Parameter):
            setattr(owner, attribute, smaller[id(old)])
        else:
            owner._buffers[attribute] = smaller[id(old)]
    for path in {name.rpartition(".")[0] for name in shrunk}:
        restate(model.get_submodule(path))


def _check(name: str, tensor: Tensor, axis: int, indices: list[int]) -> None:
    if not 0 <= axis < tensor.ndim:
        raise CutError(expected(name, f"an axis below {tensor.ndim}", axis))
    size = tensor.shape[axis]
    if indices != sorted(set(indices)) or (indices and not 0 <= indices[0] <= indices[-1] < size):
        raise CutError(expected(name, f"ascending indices below {size} along axis {axis}", indices))


def take(tensor: Tensor, axes: Mapping[int, list[int]]) -> Tensor:
    """A copy of the named indices along the named axes, in the memory format of ``tensor``, apart from autograd."""
    value = tensor.detach() if axes else tensor.detach().clone()
    for axis, indices in axes.items():
        value = value.index_select(axis, torch.tensor(indices, dtype=torch.long, device=value.device))
    if value.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        value = value.contiguous(memory_format=torch.channels_last)
    return value


def put_back(tensor: Tensor, axis: int, indices: Tensor, size: int) -> Tensor:
    """The way back from take: ``tensor`` at ``indices`` along an axis of that size, and zeros elsewhere."""
    shape = [size if i == axis else n for i, n in enumerate(tensor.shape)]
    return tensor.new_zeros(shape).index_copy(axis, indices, tensor)


def _shrunk(tensor: Tensor, axes: Mapping[int, list[int]]) -> Tensor:
    value = take(tensor, axes)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(value, requires_grad=tensor.requires_grad)
    return value


def _locate(model: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, attribute = name.rpartition(".")
    return model.get_submodule(path), attribute


def restate(module: nn.Module) -> None:
    """Bring the sizes that a layer states in line with the tensors it holds."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, BasePruningMethod):  # what a mask leaves of a weight
            with torch.no_grad():
                hook(module, ())
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        depthwise = module.groups > 1 and module.groups == module.in_channels == module.out_channels
        module.out_channels = module.weight.shape[0]
        if depthwise:
            module.groups = module.out_channels
        module.in_channels = module.weight.shape[1] * module.groups
    elif isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        module.in_channels, module.out_channels = module.weight.shape[0], module.weight.shape[1] * module.groups
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _NormBase):
        tensor = module.weight if module.running_mean is None else module.running_mean
        module.num_features = len(tensor)
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = len(module.weight)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif isinstance(getattr(module, "normalized_shape", None), tuple):  # layer and RMS norms, also of other libraries
        setattr(module, "normalized_shape", tuple(module.get_parameter("weight").shape))  # noqa: B010  # any class


def compose(first: Mapping[str, Mapping[int, list[int]]], second: Mapping[str, Mapping[int, list[int]]]) -> Kept:
    """The kept indices of two cuts in a row, in the numbering of the network before both."""
    total: Kept = {name: {axis: list(indices) for axis, indices in axes.items()} for name, axes in first.items()}
    for name, axes in second.items():
        known = total.setdefault(name, {})
        for axis, indices in axes.items():
            known[axis] = [known[axis][i] for i in indices] if axis in known else list(indices)
    return total
