"""How many filters every layer has before and after, in the order of the forward pass."""

from dataclasses import dataclass

from torch import nn

from windfirm.models.inputs import Inputs
from windfirm.prune.trace import trace


@dataclass(frozen=True)
class Width:
    """A layer by its module's name; ``kind`` is "conv", "depthwise" or "linear"; ``after`` is 0 where it left."""

    layer: str
    kind: str
    before: int
    after: int


def profile(before: nn.Module, after: nn.Module, example_inputs: Inputs) -> list[Width]:
    """The filters of every convolution and linear layer that ``before`` runs, and how many ``after`` has of them."""
    left = dict(after.named_modules())
    named = dict(before.named_modules())
    found = []
    for name in dict.fromkeys(call.module for call in trace(before, example_inputs).calls):
        kind, size = _width(named.get(name))
        if size:
            found.append(Width(name, kind, size, _width(left.get(name))[1]))
    return found


def _width(module: nn.Module | None) -> tuple[str, int]:
    """The kind and the number of filters of a layer; ("", 0) for what is none."""
    channels, features = (getattr(module, name, None) for name in ("out_channels", "out_features"))
    if isinstance(channels, int):
        groups = getattr(module, "groups", 1)
        return "depthwise" if groups == channels > 1 else "conv", channels
    return ("linear", features) if isinstance(features, int) else ("", 0)
