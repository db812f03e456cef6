"""Whether a smaller network still trains: the proof looks at what is computed in evaluation alone."""

import torch
from torch import nn

from windfirm import seeds
from windfirm.errors import CutError, expected, first_line
from windfirm.models.copies import exact
from windfirm.models.inputs import Arguments, Inputs, doubled, drawn
from windfirm.models.meta import on_meta
from windfirm.models.mode import switched
from windfirm.prune.precise import Precisely
from windfirm.prune.watch import arguments, plainly, without_values


def still_trains(model: nn.Module, smaller: nn.Module, example_inputs: Inputs) -> None:
    """Raise CutError where the forward pass of ``smaller`` fails in training mode, and that of ``model`` does not."""
    where = type(model).__name__
    with torch.device("meta"):  # quick, and enough for most
        if _error(on_meta(smaller), without_values(where, example_inputs)) is None:
            return
    inputs = drawn(arguments(where, example_inputs), None, "train")
    narrow, wide = exact(smaller), exact(model)  # not inside, where tensors are made double that are to be copied
    with Precisely():  # type: ignore[no-untyped-call]
        error = _error(narrow, inputs)
        fault = error is not None and _error(wide, inputs) is None
    if fault:
        wanted = "a smaller network that runs in training, as the original does"
        raise CutError(expected("cut", wanted, f"an error in its forward pass: {error}"))


def _error(network: nn.Module, inputs: Arguments) -> str | None:
    """What goes wrong in a forward pass of ``network``, which is not needed any more, in training mode."""
    args, kwargs = doubled(inputs)
    try:
        with plainly(), seeds.default_stream(0, "train"):
            switched(network, training=True)(*args, **kwargs)
    except Exception as error:  # whatever a stranger's forward pass may raise
        return first_line(error)
    return None
