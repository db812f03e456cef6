"""An optimizer's memory goes with its network through a cut, so that training goes on without a jolt."""

import copy
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from windfirm.errors import InputError, expected
from windfirm.models.shrink import take

Axes = Mapping[int, list[int]]


def carry(optimizer: Optimizer, model: nn.Module, smaller: nn.Module, kept: Mapping[str, Axes]) -> Optimizer:
    """A new optimizer for ``smaller``, of the same class and options, with what ``optimizer`` remembers of ``model``.

    Parameters are matched by name; those that left with their layer are left out. Of every state tensor (momentum,
    averages of gradients and of their squares) the entries along an axis leave with those of its parameter, by the
    indices in ``kept``; an axis of length one (as in the factors of Adafactor) and all other state stay as they are.
    The next step is the one that would follow if the small network had been there all along. ``optimizer`` and
    ``model`` are not changed. Hooks stay behind, and a learning-rate schedule goes on with the new optimizer once its
    attribute ``optimizer`` is set to it.

    Raises InputError for an optimizer of other parameters than those of ``model``, for one that remembers elsewhere
    than in its state (LBFGS), for state whose shape is not understood, and for indices that do not lead to ``smaller``.
    """
    names: dict[int, list[str]] = defaultdict(list)
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    left = dict(smaller.named_parameters(remove_duplicate=False))
    groups: list[dict[str, Any]] = []
    state: dict[Tensor, Any] = defaultdict(dict)
    for group in optimizer.param_groups:
        members: list[tuple[int, Tensor]] = []
        for position, old in enumerate(group["params"]):
            if id(old) not in names:
                got = f"one of shape {tuple(old.shape)} that is none"
                raise InputError(expected("optimizer", "parameters of the network before the cut", got))
            path = next((name for name in names[id(old)] if name in left), None)
            if path is None:
                continue
            axes: Axes = next((kept[alias] for alias in names[id(old)] if alias in kept), {})
            _refuse_misfit(path, old, axes, left[path])
            members.append((position, left[path]))
            if old in optimizer.state:
                state[left[path]] = _cut(path, optimizer.state[old], old, axes)
        groups.append(_group(group, members))
    return _like(optimizer, groups, state)


def _like(optimizer: Optimizer, groups: list[dict[str, Any]], state: dict[Tensor, Any]) -> Optimizer:
    """An optimizer of the same class. Not through its constructor, whose arguments nobody knows, but as pickle does."""
    new = type(optimizer).__new__(type(optimizer))
    new.__setstate__({"defaults": copy.deepcopy(optimizer.defaults), "state": state, "param_groups": groups})
    for name, value in vars(optimizer).items():
        if name in vars(new) or (callable(value) and not isinstance(value, Optimizer)):
            continue  # a callable is the ``step`` of the old one, which schedules wrap
        if not isinstance(value, bool | int | float | str | None):
            wanted = "one that remembers each parameter in its state"
            raise InputError(expected(type(optimizer).__name__, wanted, f"more in its attribute {name}"))
        setattr(new, name, value)
    return new


def _group(group: Mapping[str, Any], members: Sequence[tuple[int, Tensor]]) -> dict[str, Any]:
    """The options of ``group`` with the parameters that are left; ``members`` tells where in it they were."""
    options = copy.deepcopy({key: value for key, value in group.items() if key != "params"})
    if "param_names" in options:
        options["param_names"] = [options["param_names"][position] for position, _ in members]
    return {"params": [parameter for _, parameter in members], **options}


def _cut(name: str, state: Any, parameter: Tensor, axes: Axes) -> Any:
    """What the optimizer remembers of one parameter, for the indices along ``axes`` of it."""
    if isinstance(state, Mapping):
        return {key: _cut(f"{name}, {key}", value, parameter, axes) for key, value in state.items()}
    if not isinstance(state, Tensor):
        return copy.deepcopy(state)
    if state.numel() <= 1 or not axes:
        return state.detach().clone()  # such as the number of steps
    pairs = list(zip(state.shape, parameter.shape, strict=False))
    if state.ndim != parameter.ndim or any(size not in (1, whole) for size, whole in pairs):
        wanted = f"state shaped like its parameter, {tuple(parameter.shape)}"
        raise InputError(expected(name, wanted, tuple(state.shape)))
    return take(state, {axis: indices for axis, indices in axes.items() if state.shape[axis] == parameter.shape[axis]})


def _refuse_misfit(name: str, old: Tensor, axes: Axes, new: Tensor) -> None:
    shape = tuple(len(axes[axis]) if axis in axes else size for axis, size in enumerate(old.shape))
    if tuple(new.shape) != shape:
        raise InputError(expected(name, f"shape {shape} after the cut", tuple(new.shape)))
