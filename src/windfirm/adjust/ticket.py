"""The winning ticket: what is left after the cut, with the weights it had before the first training step.

Frankle & Carbin (ICLR 2019, "The lottery ticket hypothesis"); with whole filters: Liu et al. (ICLR 2019, section 6).
"""

from pathlib import Path

from torch import nn

from windfirm.errors import CheckpointError, CutError, InputError, expected
from windfirm.models.blueprint import apply, blueprint_of
from windfirm.models.checkpoint import refuse_misfit
from windfirm.models.copies import copied
from windfirm.models.normalize import taken_apart


def rewind(model: nn.Module, initial: nn.Module) -> None:
    """Give ``model`` the weights and statistics of ``initial`` at the indices that its cuts kept.

    ``initial`` is the network as before training and before any cut; it stays as it is. Raises InputError when it does
    not become as small as ``model`` by the same cuts.
    """
    network, start = taken_apart(model)[0], copied(taken_apart(initial)[0])
    blueprint = blueprint_of(network)
    if (known := blueprint_of(start)) and known != blueprint:
        raise InputError(expected("initial weights", "those of a network before its first cut", "a cut one's"))
    try:
        if not known:
            apply(start, blueprint)
        values = start.state_dict()
        refuse_misfit(Path("initial weights"), network.state_dict(), values)
    except (CutError, CheckpointError) as error:
        raise InputError(str(error)) from error
    network.load_state_dict(values)
