"""The mean absolute value of a filter's feature map (Tan and Motani, DropNet, ICML 2020)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from windfirm.prune.criteria.base import Half, Observer, Scores, Subject, criterion
from windfirm.prune.criteria.means import Means
from windfirm.prune.criteria.members import mean_over_members
from windfirm.prune.criteria.points import Point, block_map, feature_map, makers, spread_out
from windfirm.prune.structure import Slice, Structure


@criterion("expected-abs", data=True)
def expected_abs(subject: Subject, structures: Sequence[Structure], seed: int) -> Observer:
    """Scores of shape ``(size,)``: the mean over images and positions, in units of the activations.

    The map is the one behind the layer's activation, see points; a layer that runs several times has the mean over its
    runs. A block has the mean over all channels of its output. Maps that are not one an image give no score. Raises
    CutError for activations that are not finite.
    """
    traced = subject.traced
    groups = [s for s in structures if s.kind == "filters"]
    made = {piece.tensor: makers(traced, piece) for s in groups for piece in s.producers}
    maps = {tensor: [feature_map(traced, call) for call in calls] for tensor, calls in made.items()}
    blocks = {s: point for s in structures if s.kind == "block" and (point := block_map(traced, s))}
    means = Means("expected-abs")
    strange: set[Point] = set()

    def shown(point: Point) -> Callable[[Tensor, range], None]:
        def show(output: Tensor, images: range) -> None:
            spread = spread_out(output.detach(), point.axis, len(images))
            if spread is None:
                strange.add(point)
            else:
                means.add(point.place, spread.abs().mean(2, dtype=torch.float64), images)

        return show

    def mean(point: Point, half: Half) -> Tensor | None:
        return None if point in strange else means.mean(point.place, half)

    def scores(half: Half) -> Scores:
        def per_filter(piece: Slice) -> Tensor | None:
            runs = [mean(point, half) for point in maps[piece.tensor]]
            known = [values for values in runs if values is not None]
            return torch.stack(known).mean(0) if known and len(known) == len(runs) else None

        whole = {s: mean(point, half) for s, point in blocks.items()}
        found = {s: values.mean().reshape(1) for s, values in whole.items() if values is not None}
        return mean_over_members(groups, per_filter) | found

    points = {point for runs in maps.values() for point in runs} | set(blocks.values())
    return Observer(scores, {point.place: shown(point) for point in points})
