"""A model and a cut make a smaller model; the input model is untouched."""

from dataclasses import replace
from typing import overload

from torch import nn
from torch.optim import Optimizer

from windfirm import seeds
from windfirm.errors import CutError, InputError, expected
from windfirm.models.blueprint import Blueprint, apply
from windfirm.models.copies import awake, copied
from windfirm.models.device import default_modes
from windfirm.models.inputs import Inputs
from windfirm.models.mode import forget
from windfirm.prune.carry import carry
from windfirm.prune.rehearse import rehearse
from windfirm.prune.select import Cut
from windfirm.prune.structure import Anatomy, anatomy
from windfirm.prune.trainable import still_trains
from windfirm.prune.verify import verify


@overload
def cut(model: nn.Module, cut: Cut, example_inputs: Inputs, *, body: Anatomy | None = None) -> nn.Module: ...


@overload
def cut(
    model: nn.Module, cut: Cut, example_inputs: Inputs, *, body: Anatomy | None = None, optimizer: Optimizer
) -> tuple[nn.Module, Optimizer]: ...


@default_modes()
@seeds.kept()
def cut(
    model: nn.Module,
    cut: Cut,
    example_inputs: Inputs,
    *,
    body: Anatomy | None = None,
    optimizer: Optimizer | None = None,
) -> nn.Module | tuple[nn.Module, Optimizer]:
    """A physically smaller copy of ``model``, proved equal to ``model`` with the removed units silenced.

    Sizes that modules hold as attributes change with the tensors. ``body`` saves tracing ``model`` again. With the
    ``optimizer`` that trains ``model``, the result is the copy and an optimizer for it that remembers as much; see
    carry. Raises CutError when the smaller network does not run or its outputs differ, see verify, also once what is
    zero now is not, see awake, and when it does not run in training where ``model`` does; InputError for a ``cut`` that
    is none.
    """
    if not isinstance(cut, Cut):
        raise InputError(expected("cut", "a Cut, as windfirm.select makes one", type(cut).__name__))
    body = body or anatomy(model, example_inputs)
    _refuse_misfit(cut, body)
    blueprint = cut.blueprint()
    blueprint = replace(blueprint, attributes=rehearse(model, example_inputs, blueprint, body))
    smaller = _applied(model, blueprint)
    verify(model, smaller, cut, example_inputs, body=body)
    if (other := awake(model, body.traced.idle)) is not None:
        verify(other, _applied(other, blueprint), cut, example_inputs, body=body)
    still_trains(model, smaller, example_inputs)
    return smaller if optimizer is None else (smaller, carry(optimizer, model, smaller, blueprint.kept))


def _refuse_misfit(cut: Cut, body: Anatomy) -> None:
    """Raise CutError for units that a structure does not have, and structures of another network."""
    for structure, units in cut.removed.items():
        where = structure.name
        if len(set(units)) < len(units) or not set(units) <= set(range(structure.size)):
            raise CutError(expected(where, f"different units from 0 to {structure.size - 1}", [*units]))
        for piece in structure.slices:
            shape = body.shapes.get(piece.tensor, ())
            if shape[piece.axis : piece.axis + 1] != (piece.size,):
                got = f"a network where it is of shape {shape}" if shape else "a network without it"
                raise CutError(expected(where, f"{piece.size} along axis {piece.axis} of {piece.tensor}", got))


def _applied(model: nn.Module, blueprint: Blueprint) -> nn.Module:
    """A copy of ``model`` made smaller, without gradients."""
    smaller = copied(model)
    for parameter in smaller.parameters():
        parameter.grad = None
    apply(smaller, blueprint)
    forget(smaller)
    return smaller
