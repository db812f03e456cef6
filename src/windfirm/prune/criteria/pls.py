"""Variable importance in projection of a partial least squares fit from filters to classes.

Jordao et al., *Deep Network Compression based on Partial Least Squares*, Neurocomputing 2020; VIP after Wold et al.
Every image gives one row: the global maximum of every convolution's raw output, all layers side by side. PLS
regression with two components, on scaled columns, explains the one-hot labels; a filter's score is the VIP of its
column. A block's score is the mean VIP of the channels of its output, in a fit of its own from the averages over
positions of all blocks.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from windfirm.errors import CutError, expected
from windfirm.prune.criteria.base import Half, Observer, Scores, Seen, Subject, criterion
from windfirm.prune.criteria.members import mean_over_members
from windfirm.prune.criteria.points import CONVOLUTION, LINEAR, block_map, in_order, makers, spread_out
from windfirm.prune.criteria.vip import Table, importance
from windfirm.prune.structure import Slice, Structure
from windfirm.prune.trace import Call
from windfirm.prune.watch import Place

COMPONENTS = 2


@criterion("pls", data=True)
def pls(subject: Subject, structures: Sequence[Structure], seed: int) -> Observer:
    """Scores of shape ``(size,)``, no unit, mean square 1 over all columns.

    The columns are the filters of all convolutions and of the linear layers that make a structure; one that runs
    several times gives the maximum over its runs. Maps that are not one an image give no score. Holds of each half at
    most as many rows as there are columns, or in float32 twice as many, and a matrix of columns by columns once there
    are more. Raises InputError for fewer than two images of two classes; CutError for outputs that are not finite.
    """
    traced = subject.traced
    groups = [s for s in structures if s.kind == "filters"]
    made = {piece.tensor: makers(traced, piece) for s in groups for piece in s.producers}
    linear = {call.number for calls in made.values() for call in calls if call.op in LINEAR}
    layers = [call for call in traced.calls if call.op is CONVOLUTION or call.number in linear] if groups else []
    calls = [call for call in layers if in_order(traced, call)]
    filters = Pooled({call.place: (_weight(call), 1) for call in calls}, _largest)
    blocks = {s: point for s in structures if s.kind == "block" and (point := block_map(subject.body, s))}
    outputs = Pooled({point.place: (_name(point.place), point.axis) for point in blocks.values()}, _average)

    def batch(seen: Seen) -> None:
        for pooled in (filters, outputs):
            pooled.close(seen)

    def scores(half: Half) -> Scores:
        found: Scores = {}
        if groups:
            columns = filters.importance(half)

            def per_filter(piece: Slice) -> Tensor | None:
                calls = made[piece.tensor]
                return columns.get(_weight(calls[0])) if calls else None

            found |= mean_over_members(groups, per_filter)
        if blocks:
            columns = outputs.importance(half)
            means = {s: columns.get(_name(point.place)) for s, point in blocks.items()}
            found |= {s: mean.mean().reshape(1) for s, mean in means.items() if mean is not None}
        return found

    return Observer(scores, filters.points | outputs.points, batch)


class Pooled:
    """The outputs at some places as rows of a table, one number a channel and image.

    ``wanted`` gives a name and a channel axis for each place; places of one name give the larger number. A result that
    is not one map an image is left out for good.
    """

    def __init__(self, wanted: Mapping[Place, tuple[str, int]], pool: Callable[[Tensor], Tensor]) -> None:
        self.points = {place: self._shown(name, axis, pool) for place, (name, axis) in wanted.items()}
        self.halves = (Table(), Table())
        self._modules = {name: place.module for place, (name, _) in wanted.items()}
        self.sizes: dict[str, int] = {}
        self._strange: set[str] = set()
        self._fresh: dict[str, Tensor] = {}

    def _shown(self, name: str, axis: int, pool: Callable[[Tensor], Tensor]) -> Callable[[Tensor, range], None]:
        def show(output: Tensor, images: range) -> None:
            maps = spread_out(output.detach(), axis, len(images))
            if maps is None:
                self._strange.add(name)
                return
            pooled = pool(maps)
            before = self._fresh.get(name)
            self._fresh[name] = pooled if before is None else torch.maximum(before, pooled)

        return show

    def close(self, seen: Seen) -> None:
        """The batch is complete."""
        fresh = {name: values for name, values in self._fresh.items() if name not in self._strange}
        self._fresh = {}
        if not fresh:
            return
        self.sizes = {name: values.shape[1] for name, values in fresh.items()}
        rows = torch.cat(list(fresh.values()), 1).cpu()
        rows = rows.to(torch.promote_types(rows.dtype, torch.float32))  # numpy has no bfloat16
        if not bool(rows.isfinite().all()):
            bad = next(name for name, values in fresh.items() if not bool(values.isfinite().all()))
            raise CutError(expected("pls", f"finite outputs of {self._modules[bad]}", "infinite or undefined ones"))
        for half, table in enumerate(self.halves):
            part = slice((half - seen.images.start) % 2, None, 2)
            table.add(rows[part].numpy(), seen.labels[part].cpu().numpy())

    def importance(self, half: Half) -> dict[str, Tensor]:
        """The VIP of every column, by name; of none where no place had one map an image."""
        if not self.sizes:
            return {}
        tables = self.halves if half is None else (self.halves[half],)
        values = torch.from_numpy(importance(tables, COMPONENTS))
        return dict(zip(self.sizes, torch.split(values, list(self.sizes.values())), strict=True))


def _name(place: Place) -> str:
    """What tells a block's output from others, also those of the same module."""
    return f"{place}, {place.turn}"


def _weight(call: Call) -> str:
    """What tells a layer from others: its weight, whose name is not known where it is computed."""
    return f"weight {call.inputs[LINEAR.get(call.op, 1)].key}"


def _largest(maps: Tensor) -> Tensor:
    return maps.amax(2)


def _average(maps: Tensor) -> Tensor:
    return maps.mean(2)
