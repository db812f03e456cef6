"""The network compiled by torch.compile for its training, or as it is where that fails.

Compiling takes a minute or more, and is no gain on every machine: on two cores a MobileNetV2 trains at 120 images/s
compiled, at 132 as it is. So it happens only where it is asked for.
"""

import warnings
from typing import Any

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.errors import expected, first_line
from windfirm.models.device import autocast


def compiled(model: nn.Module, images: Tensor, how: str) -> nn.Module:
    """``model``, which shares its weights with what is returned, compiled in the mode ``how`` of torch.compile.

    It is tried on ``images`` (b, c, h, w), forward and backward; when that fails for any reason, a warning says so and
    ``model`` itself comes back. Either way weights and statistics are what they were.
    """
    before = {name: value.clone() for name, value in model.state_dict().items()}
    network = model
    try:
        made: Any = torch.compile(model, mode=how)
        with seeds.default_stream(0, "compile"), autocast(images.device):
            outputs = made(images)
        torch.autograd.backward(outputs.float().sum())
        network = made
    except Exception as error:  # a compiler may raise anything
        got = f"{type(error).__name__}: {first_line(error)}; it is trained as it is"
        warnings.warn(expected("compile", "a network that torch.compile can compile here", got), stacklevel=2)
    model.load_state_dict(before)
    model.zero_grad(set_to_none=True)
    return network
