"""Fresh weights for a network of any shape, and by how much longer a smaller network may train for the same work.

Liu et al. (ICLR 2019, "Rethinking the value of network pruning") train the pruned architecture anew: for as many epochs
as the baseline (scratch-e), or for as many as cost the same arithmetic (scratch-b).
"""

import torch
from torch import Tensor, nn

from windfirm import seeds
from windfirm.errors import InputError, brief, expected
from windfirm.models.copies import copied
from windfirm.models.cost import cost
from windfirm.models.device import type_of

#: How a module makes its own parameters anew; torch's attention has the second.
METHODS = ("reset_parameters", "_reset_parameters")

#: So many parameters that are never made anew are told by name.
NAMED = 5


def refresh(model: nn.Module, seed: int) -> None:
    """Give every parameter of ``model`` a fresh value for its shape as it is now; what is frozen stays.

    Each module's own ``reset_parameters`` is called, from the inside out, so that a network that has one itself (those
    inside the package do) has the last word. Running statistics go back to where their layer starts them. The weights
    depend on ``seed`` and the shapes alone: all parameters are NaN before, and one that still is afterwards raises
    InputError, as does a reset that fails; the model is then as it was.
    """
    # On the CPU and laid out plainly, as the order in which numbers are drawn depends on both.
    fresh = copied(model).to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    trained = {name: value for name, value in fresh.named_parameters() if value.requires_grad}
    with torch.no_grad(), seeds.default_stream(seed, "scratch"):
        for parameter in trained.values():
            parameter.fill_(torch.nan)
        for path, module in reversed(list(fresh.named_modules())):
            _reset(path, module)
        if left := [name for name, value in trained.items() if value.isnan().any()]:
            some = ", ".join(left[:NAMED]) + (f" and {len(left) - NAMED} more" if len(left) > NAMED else "")
            wanted = "parameters that a reset_parameters of their module makes anew"
            raise InputError(expected("fresh weights", wanted, f"none for {some}"))
        for name, parameter in model.named_parameters():
            if name in trained:
                parameter.copy_(trained[name])
        for old, new in zip(model.buffers(), fresh.buffers(), strict=True):
            old.copy_(new)


def _reset(path: str, module: nn.Module) -> None:
    for name in METHODS:
        if callable(method := getattr(module, name, None)):
            try:
                method()
            except Exception as error:  # the user's module may raise anything
                where = f"fresh weights: {path or type(module).__name__}"
                got = brief(error)
                raise InputError(expected(where, f"a {name} that works without arguments", got)) from error
            return


def work_ratio(original: nn.Module, model: nn.Module, example: Tensor) -> float:
    """MACs of ``original`` ÷ MACs of ``model`` for an image like ``example`` (1, c, h, w).

    Raises TraceError as cost does, InputError where ``model`` has no MACs at all.
    """
    before, after = (cost(network, example.to(type_of(network))).macs for network in (original, model))
    if not after:
        raise InputError(expected("scratch-b", "a network with convolutions or linear layers", "0 MACs"))
    return before / after
