"""Train and eval mode, and what training mode does to running statistics, for the length of a block."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from torch import nn
from torch.nn.modules.instancenorm import _InstanceNorm

Network = TypeVar("Network", bound=nn.Module)


def switched(model: Network, *, training: bool) -> Network:
    """``model`` itself, in the given mode; where that freezes layers, its own ``train`` often returns nothing."""
    model.train(training)
    return model


@contextmanager
def mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """The given mode inside the block; afterwards every module is back in its own, which need not be the model's."""
    modes = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, was_training in modes:
            module.training = was_training


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
