"""What a network costs in arithmetic: multiply-adds per image, and parameters."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from windfirm.errors import InputError, TraceError, expected, first_line
from windfirm.models.meta import on_meta


@dataclass(frozen=True)
class Cost:
    """``macs``: multiply-adds of one image's forward pass; ``params``: numbers that training can change."""

    macs: int
    params: int


def cost(model: nn.Module, example: Tensor) -> Cost:
    """Count the multiply-adds of one image and the parameters of ``model``.

    ``example`` is a batch ``(b, c, h, w)``; only the shape and type of its first image matter. A copy of the network
    without weights runs once on the meta device in eval mode, and every convolution and matrix product that PyTorch
    really carries out is counted from the shapes it sees: a convolution as (output positions) × (output channels) ×
    (input channels per group) × (kernel size), a product of (m, k) and (k, n) as m·k·n. So grouped, transposed and
    functional calls count, whatever module made them; attention's two products count too. Additions of a bias,
    normalisation, activations and pooling do not, as is the custom. The model itself is neither run nor changed.

    Raises TraceError when the network cannot run on the meta device (its path depends on pixel values, or the example
    does not fit).
    """
    if example.ndim == 0 or len(example) == 0:
        raise InputError(expected("cost", "an example batch with at least one image", f"shape {tuple(example.shape)}"))
    image = torch.empty_like(example[:1], device="meta")
    counter = FlopCounterMode(display=False)
    try:
        shell = on_meta(model)
        with torch.device("meta"), torch.no_grad(), counter:
            shell(image)
    except Exception as error:
        wanted = f"a network that runs on a meta tensor of shape {tuple(image.shape)}"
        raise TraceError(expected("cost", wanted, first_line(error))) from error
    return Cost(counter.get_total_flops() // 2, sum(parameter.numel() for parameter in model.parameters()))
