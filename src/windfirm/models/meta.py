"""A network without its data: the same modules, tensors that have shapes only."""

import copy
from itertools import chain

import torch
from torch import Tensor, nn


def on_meta(model: nn.Module) -> nn.Module:
    """A deep copy on the meta device, in eval mode. Copied tensors are never allocated, the model is not touched."""
    plain = (value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor))
    tensors = chain(model.parameters(), model.buffers(), plain)
    return copy.deepcopy(model, {id(tensor): _without_data(tensor) for tensor in tensors}).eval()


def _without_data(tensor: Tensor) -> Tensor:
    empty = torch.empty_like(tensor, device="meta")
    return nn.Parameter(empty, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else empty
