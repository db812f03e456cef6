"""The network as its training calls it: compiled by torch.compile, recorded for a GPU, or as it is where that fails.

Compiling takes a minute or more, and is no gain on every machine: on two cores a MobileNetV2 trains at 120 images/s
compiled, at 132 as it is. So it happens only where it is asked for. Recording takes a second.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.errors import brief, expected
from windfirm.models.device import autocast
from windfirm.models.meta import named_tensors
from windfirm.models.mode import statistics_kept, tracking
from windfirm.models.recording import recorded


def compiled(model: nn.Module, images: Tensor, how: str) -> nn.Module:
    """``model``, which shares its weights with what is returned, compiled in the mode ``how`` of torch.compile.

    It is tried on ``images`` (b, c, h, w), forward and backward; when that fails for any reason, a warning says so and
    ``model`` itself comes back. Either way weights and statistics are what they were.
    """
    network = model
    with untouched(model):
        try:
            made: Any = torch.compile(model, mode=how)
            with seeds.default_stream(0, "compile"), autocast(images.device):
                outputs = made(images)
            torch.autograd.backward(outputs.float().sum())
            network = made
        except Exception as error:  # a compiler may raise anything
            got = f"{brief(error)}; it is trained as it is"
            warnings.warn(expected("compile", "a network that torch.compile can compile here", got), stacklevel=3)
    return network


def replayed(model: nn.Module, images: Tensor, *, kept: bool = False) -> nn.Module:
    """``model``, which shares its weights with what is returned, recorded for batches like ``images`` (b, c, h, w).

    Other batches, such as the last of an epoch, go through the model as it is; all do where it cannot be recorded.
    Either way weights and statistics are what they were. Of use on a GPU, where a network is called once a step, and
    with ``kept`` once more with statistics_kept.
    """
    if kept and not tracking(model):  # nothing would tell the two calls apart, and each overwrites what the other keeps
        return model
    recordings: dict[bool, nn.Module] = {}
    for keeping in (False, True) if kept else (False,):
        with untouched(model), seeds.default_stream(0, "record"), statistics_kept(model) if keeping else nullcontext():
            found = recorded(model, images, short=True)
        if found is None:
            return model
        recordings[keeping] = found
    return _Replayed(model, recordings, images.shape)


class _Replayed(nn.Module):
    """``recordings``: whether running statistics are kept → the network, recorded so."""

    def __init__(self, model: nn.Module, recordings: dict[bool, nn.Module], shape: torch.Size) -> None:
        super().__init__()
        self.model, self.recordings, self.shape = model, recordings, shape
        self.layers = tracking(model)

    def forward(self, images: Tensor) -> Any:
        keeping = any(not layer.track_running_stats for layer in self.layers)
        recording = self.recordings.get(keeping)
        return (self.model if recording is None or images.shape != self.shape else recording)(images)


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """After the block tensors of ``model`` that kept their shape are what they were, and it has no gradients."""
    before = {name: tensor.detach().clone() for name, tensor in named_tensors(model)}
    try:
        yield
    finally:
        with torch.no_grad():
            for name, tensor in named_tensors(model):
                known = before.get(name)
                expanded = any(
                    stride == 0 < size - 1 for stride, size in zip(tensor.stride(), tensor.shape, strict=True)
                )
                if known is not None and known.shape == tensor.shape and not expanded:  # which nothing can write to
                    tensor.copy_(known)
        model.zero_grad(set_to_none=True)
