"""A network without its data: the same modules, tensors that have shapes only."""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from windfirm.errors import InputError, expected
from windfirm.models.mode import switched


def on_meta(model: nn.Module) -> nn.Module:
    """A deep copy on the meta device, in eval mode. Copied tensors are never allocated, the model is not touched."""
    empty = with_tensors(model, lambda _, tensor: torch.empty_like(tensor, device="meta"))
    return switched(empty, training=False)


def require_network(model: object, where: str = "model") -> None:
    """Raise InputError, which begins with ``where``, for what is no network, such as a state dict or a function."""
    if not isinstance(model, nn.Module):
        raise InputError(expected(where, "a torch.nn.Module", type(model).__name__))


def require_data(model: nn.Module) -> None:
    """Raise InputError for what is no network, and for its first parameter or buffer that is on the meta device."""
    require_network(model)
    for name, tensor in named_tensors(model):
        if tensor.is_meta:
            raise InputError(expected(name, "a tensor with data", "one on the meta device"))


def with_tensors(model: nn.Module, value: Callable[[str, Tensor], Tensor]) -> nn.Module:
    """A deep copy that holds ``value(name, tensor)`` in place of each tensor, parameters as parameters.

    A tensor that has several names is asked for once, by the first, and shared in the copy as well.
    """
    memo: dict[int, Tensor] = {}
    for name, tensor in every_tensor(model):
        if id(tensor) not in memo:
            new = value(name, tensor)
            memo[id(tensor)] = nn.Parameter(new, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else new
    return copy.deepcopy(model, leftovers(model) | memo)


def leftovers(model: nn.Module) -> dict[int, Tensor]:
    """Copies, by id, of what earlier forward passes have left in modules: deepcopy takes none that has a history."""
    kept = (entry for module in model.modules() for entry in tree_leaves(vars(module)))
    return {id(entry): entry.detach().clone() for entry in kept if isinstance(entry, Tensor) and not entry.is_leaf}


def named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by every name that they have."""
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def every_tensor(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Also the tensors that are plain attributes of a module, or lie in lists, tuples and dicts that are."""
    yield from named_tensors(model)
    for path, module in model.named_modules(remove_duplicate=False):
        for name, entry in vars(module).items():
            where = f"{path}.{name}" if path else name
            if isinstance(entry, Tensor):
                yield where, entry
            elif name not in ("_parameters", "_buffers"):
                yield from _within(where, entry)


def beside(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What state dicts leave out: buffers with ``persistent=False``, plain attributes, modules in lists and the like.

    Buffers by every name. Not what lies in the memory of a parameter or buffer, nor what is left of a training step.
    """
    for path, module in model.named_modules(remove_duplicate=False):
        for name, buffer in module.named_buffers(path, recurse=False, remove_duplicate=False):
            if name.rpartition(".")[2] in module._non_persistent_buffers_set:
                yield name, buffer
    known = {_memory(tensor) for _, tensor in named_tensors(model)}
    for name, tensor in (*every_tensor(model), *_hidden(model)):
        if tensor.is_leaf and _memory(tensor) not in known:
            yield name, tensor


def _hidden(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers of modules that lie in lists, tuples and dicts, and are registered nowhere."""
    registered = {*model.modules()}
    for path, module in model.named_modules():
        for name, entry in vars(module).items():
            kept = (
                entry.items() if isinstance(entry, dict) else enumerate(entry if type(entry) in (list, tuple) else ())
            )
            for key, value in kept:
                if isinstance(value, nn.Module) and value not in registered:
                    where = f"{path}.{name}.{key}" if path else f"{name}.{key}"
                    yield from ((f"{where}.{inner}", tensor) for inner, tensor in named_tensors(value))


def _memory(tensor: Tensor) -> int:
    """Tells which memory a tensor lies in."""
    return tensor.untyped_storage()._cdata if tensor.layout is torch.strided else id(tensor)


def _within(name: str, entry: object) -> Iterator[tuple[str, Tensor]]:
    """Tensors in containers, but for activations that a forward pass has put there."""
    if isinstance(entry, Tensor) and entry.is_leaf:
        yield name, entry
    elif isinstance(entry, list | tuple | dict):
        for key, value in entry.items() if isinstance(entry, dict) else enumerate(entry):
            yield from _within(f"{name}.{key}", value)
