"""The smaller network beside the original, call by call on the meta device: where it departs from what labels say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from windfirm.errors import first_line
from windfirm.models.caches import dry_run
from windfirm.models.dataless import stays
from windfirm.models.inputs import Inputs
from windfirm.prune.structure import Anatomy, Mask
from windfirm.prune.trace import Call, Ref
from windfirm.prune.watch import Watcher, output_shapes, plainly, shaped, without_values

#: Depending on strides and sizes, a reshape is a view or a copy and a view, and a slice of everything nothing at all.
COPIES = {getattr(torch.ops.aten, name).default for name in ("clone", "alias", "detach")}
SLICE = torch.ops.aten.slice.Tensor
VIEWS = {torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default}

#: Operation → which of its arguments is the number of groups.
GROUPS = {"aten.convolution.default": 8, "aten.native_group_norm.default": 6}


class Departure(Exception):  # noqa: N818 (a finding, not a mistake)
    """The forward pass departed from what the labels say at ``call``, because of ``reason``.

    ``mended`` are the calls before it for which an attribute was changed.
    """

    def __init__(self, call: Call, reason: str) -> None:
        super().__init__(reason)
        self.call = call
        self.reason = reason
        self.mended: list[Call] = []


@dataclass(frozen=True)
class Plan:
    """The original, its trace, and which of its nodes leave."""

    model: nn.Module
    body: Anatomy
    mask: Mask

    def shape(self, ref: Ref) -> tuple[int, ...]:
        """The shape that a tensor of the original must have in the smaller network."""
        labels = self.body.coupling.labels.get(ref.key, {})
        lost = {axis: int(self.mask[nodes].sum()) for axis, nodes in labels.items()}
        return tuple(size - lost.get(axis, 0) for axis, size in enumerate(ref.shape))

    def fits(self, ref: Ref, shape: Sequence[int]) -> bool:
        """Whether the smaller network's tensor may have that shape.

        Where one value is repeated, any size will do; and where an axis has shrunk to one, it may stand elsewhere.
        """
        coupling = self.body.coupling
        anything = coupling.spread.get(ref.key, set())
        wanted = self.shape(ref)
        if 1 in wanted and sorted(wanted) == sorted(shape):
            return True
        alike = len(wanted) == len(shape) and all(
            a == b or axis in anything for axis, (a, b) in enumerate(zip(wanted, shape, strict=True))
        )
        return alike or ref.key in coupling.uniform

    def number(self, call: Call) -> tuple[int, int] | None:
        """The number of groups that the call states, and what it must be in the smaller network."""
        count, nodes = self.body.coupling.numbers.get(call.number, (0, None))
        return (count, count - int(self.mask[nodes].sum())) if nodes is not None else None

    def parts(self, call: Call) -> tuple[list[int], list[int]]:
        """The sizes that a split into several parts states, and what they must be in the smaller network."""
        if call.op is not torch.ops.aten.split_with_sizes.default:
            return [], []
        dim = call.argument("dim", 0)
        return [out.shape[dim] for out in call.outputs], [self.shape(out)[dim] for out in call.outputs]

    def changes(self, call: Call) -> dict[int, int]:
        """Old size → new size, of all that this call sees change; a size that becomes two others is left out."""
        found: dict[int, set[int]] = {}
        for ref in (*call.inputs, *call.outputs):
            for old, new in zip(ref.shape, self.shape(ref), strict=True):
                if old != new:
                    found.setdefault(old, set()).add(new)
        if number := self.number(call):
            found[number[0]] = {number[1]}
        return {old: new.pop() for old, new in found.items() if len(new) == 1}


class _Follower(Watcher):  # type: ignore[no-untyped-call]
    """Compares every call of the smaller network with its counterpart in the original."""

    def __init__(self, model: nn.Module, plan: Plan) -> None:
        super().__init__(model)
        self.plan = plan
        self.number = 0

    def skip(self, func: Any) -> None:
        """Pass by the original's copies, and by slices that take everything now."""
        calls = self.plan.body.traced.calls
        while self.number < len(calls) and (call := calls[self.number]).op is not func:
            whole = call.op is SLICE and self.plan.shape(call.args[0]) == self.plan.shape(call.outputs[0])
            if call.op not in COPIES and not whole:
                return
            self.number += 1

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in COPIES or stays(func, args, kwargs or {}):
            return shaped(func, args, kwargs or {})
        self.skip(func)
        calls = self.plan.body.traced.calls
        call = calls[min(self.number, len(calls) - 1)]
        if self.number >= len(calls) or (call.op is not func and not VIEWS.issuperset((call.op, func))):
            raise Departure(call, f"{func} in place of {call.op}")
        number = self.plan.number(call)
        if number and args[GROUPS[str(func)]] != number[1]:
            raise Departure(call, f"{args[GROUPS[str(func)]]} groups in place of {number[1]}")
        try:
            result = shaped(func, args, kwargs or {})
        except Exception as error:
            raise Departure(call, first_line(error)) from error
        leaves = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if len(leaves) != len(call.outputs):
            raise Departure(call, f"{len(leaves)} tensors in place of {len(call.outputs)}")
        for ref, leaf in zip(call.outputs, leaves, strict=True):
            if not self.plan.fits(ref, leaf.shape):
                raise Departure(call, f"a tensor of shape {tuple(leaf.shape)} in place of {self.plan.shape(ref)}")
        self.number += 1
        return result


def departed(twin: nn.Module, example_inputs: Inputs, plan: Plan) -> Departure | None:
    """Where ``twin``, the original cut already, first departs from what ``plan`` expects; None where it never does."""
    fakes, named = without_values(type(twin).__name__, example_inputs)
    calls = plan.body.traced.calls
    follower = _Follower(twin, plan)
    try:
        with dry_run(twin), plainly(), follower:
            twin(*fakes, **named)
    except Departure as departure:
        return departure
    except Exception as error:  # an assertion of the network's own, between two calls
        return Departure(calls[min(follower.number, len(calls) - 1)], first_line(error))
    finally:
        follower.release()
    rest = [call for call in calls[follower.number :] if call.op not in COPIES]
    return Departure(rest[0], "the end of the forward pass") if rest else None


def ends_well(twin: nn.Module, example_inputs: Inputs, plan: Plan) -> bool:
    """Whether the outputs of ``twin`` have the original's shapes, whatever way it takes."""
    try:
        return output_shapes(twin, example_inputs) == [ref.shape for ref in plan.body.traced.outputs]
    except Exception:  # whatever a stranger's forward pass may raise
        return False
