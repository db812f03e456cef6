"""Whether a smaller network still trains: the proof looks at what is computed in evaluation alone."""

from typing import Any

import torch
from torch import nn

from windfirm import seeds
from windfirm.errors import CutError, expected, first_line
from windfirm.models.caches import untouched
from windfirm.models.copies import exact
from windfirm.models.inputs import Arguments, Inputs, doubled, drawn
from windfirm.models.meta import on_meta
from windfirm.prune.precise import Precisely
from windfirm.prune.watch import arguments, growing, plainly, tensors_in, without_values


def still_trains(model: nn.Module, smaller: nn.Module, example_inputs: Inputs) -> None:
    """Raise CutError where ``smaller`` fails in training, in the forward pass or back, and ``model`` does not."""
    where = type(model).__name__
    with torch.device("meta"):  # quick, and enough for most
        if _error(on_meta(smaller), without_values(where, example_inputs)) is None:
            return
    for given in growing(arguments(where, example_inputs)):
        inputs = drawn(given, None, "train")
        narrow, wide = exact(smaller), exact(model)  # not inside, where tensors are made double that are to be copied
        with Precisely():  # type: ignore[no-untyped-call]
            error = _error(narrow, inputs)
            fault = error is not None and _error(wide, inputs) is None
        if fault:
            wanted = "a smaller network that runs in training, as the original does"
            raise CutError(expected("cut", wanted, error))
        if error is None:
            return


def _error(network: nn.Module, inputs: Arguments) -> str | None:
    """What goes wrong when ``network``, which is not needed any more, makes a step of training, and in which pass."""
    args, kwargs = doubled(inputs)
    found = "forward"
    try:
        network.train()
        with untouched(network), plainly(), torch.enable_grad(), seeds.default_stream(0, "train"):
            result = network(*args, **kwargs)
            found = "backward"
            _back(result)
    except Exception as error:  # whatever a stranger's code may raise
        return f"an error in its {found} pass: {first_line(error)}"
    return None


def _back(result: Any) -> None:
    """Ask for the gradients of all that a network returned, but for what is hidden in a type of its own."""
    try:
        leaves = tensors_in(result)
    except TypeError:
        return
    ends = [leaf for leaf in leaves if leaf.requires_grad]
    torch.autograd.backward(ends, [torch.ones_like(end) for end in ends])
