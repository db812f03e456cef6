"""Train and eval mode, and what training mode does to running statistics, for the length of a block."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

from windfirm.errors import InputError, expected, first_line

Network = TypeVar("Network", bound=nn.Module)


def switched(model: Network, *, training: bool) -> Network:
    """``model`` itself, in the given mode; where that freezes layers, its own ``train`` often returns nothing.

    Raises InputError where it cannot be switched, as what torch.export makes cannot.
    """
    try:
        model.train(training)
    except Exception as error:  # whatever a stranger's code may raise
        wanted = f"a network that can be switched to {'training' if training else 'eval mode'}"
        raise InputError(expected(type(model).__name__, wanted, first_line(error))) from error
    return model


@contextmanager
def mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """The given mode inside the block; afterwards every module is back in its own, which need not be the model's.

    Its own ``train`` brings it there, which may do more than set a flag: merge weights, or drop what they came to.
    Raises InputError as switched does.
    """
    modes = [(module, module.training) for module in model.modules()]
    switched(model, training=training)
    try:
        yield
    finally:
        bring(modes)


def bring(modes: Sequence[tuple[nn.Module, bool]]) -> None:
    """Bring every module into its mode, by its own ``train`` where it is in the other; outer ones come first."""
    for module, training in modes:
        if module.training != training:
            module.train(training)  # which takes along what lies inside
    for module, training in modes:
        module.training = training  # also of one that an outer one switched on the way


def minds(model: nn.Module) -> bool:
    """Whether some module has a ``train`` of its own, so that its tensors may be others in training than in eval."""
    return any(type(module).train is not nn.Module.train for module in model.modules())


def forget(model: nn.Module) -> None:
    """Let modules make anew what they keep of results from their weights, which themselves stay as they are.

    They drop it when they are to be trained. Parameters are put back: merged anew they would be off by a rounding.
    """
    weights = [(parameter, parameter.detach().clone()) for parameter in model.parameters()]
    with mode(model, training=True):
        pass
    for parameter, value in weights:
        parameter.data = value


@contextmanager
def statistics_kept(model: nn.Module) -> Iterator[None]:
    """Running statistics stay as they are inside the block, while layers in training still use those of the batch."""
    layers = tracking(model)
    moving = [(layer, layer.momentum) for layer in layers if isinstance(layer, _InstanceNorm)]
    for layer in layers:
        layer.track_running_stats = False
    for layer, _ in moving:  # it moves what it has, tracked or not
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True
        for layer, momentum in moving:
            layer.momentum = momentum


def tracking(model: nn.Module) -> list[Any]:
    """The layers whose running statistics training moves."""
    return [module for module in model.modules() if getattr(module, "track_running_stats", False)]
