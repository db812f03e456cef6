"""Criteria that are the mean over images of something about each feature map."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from windfirm.prune.criteria.base import Half, Observer, Scores, Subject
from windfirm.prune.criteria.means import Means
from windfirm.prune.criteria.members import mean_over_members
from windfirm.prune.criteria.points import Point, block_map, feature_map, in_order, makers
from windfirm.prune.structure import Slice, Structure

#: A result, the axis of its channels and the number of images → one number an image and channel, (b, c); or None.
OfMaps = Callable[[Tensor, int, int], Tensor | None]


def mean_over_maps(
    name: str,
    subject: Subject,
    structures: Sequence[Structure],
    of_maps: OfMaps,
    whole: Callable[[Tensor], float] = lambda maps: 1,
) -> Observer:
    """An observer whose scores are means over images of what ``of_maps`` says of each filter's map.

    The map is the one behind the layer's activation, see points; a layer that runs several times has the mean over its
    runs. A block has the mean over all channels of its output, in units of what ``whole`` says of it, so that blocks of
    different sizes compare. Where ``of_maps`` gives None there is no score. Raises CutError, saying ``name`` and where,
    for numbers that are not finite.
    """
    traced = subject.traced
    groups = [s for s in structures if s.kind == "filters"]
    pieces = {piece.tensor: piece for s in groups for piece in s.producers}
    layers = {tensor: [feature_map(traced, call) for call in makers(traced, piece)] for tensor, piece in pieces.items()}
    blocks = {s: point for s in structures if s.kind == "block" and (point := block_map(subject.body, s))}
    points = {point for runs in layers.values() for point in runs} | set(blocks.values())
    means = Means(name)
    sizes: dict[Point, float] = {}
    strange = {
        feature_map(traced, call)
        for piece in pieces.values()
        for call in makers(traced, piece)
        if not in_order(traced, call)
    }

    def shown(point: Point) -> Callable[[Tensor, range], None]:
        def show(output: Tensor, images: range) -> None:
            rows = of_maps(output.detach(), point.axis, len(images))
            if rows is None:
                strange.add(point)
                return
            sizes[point] = whole(output)
            means.add(point.place, rows, images)

        return show

    def mean(point: Point, half: Half) -> Tensor | None:
        return None if point in strange else means.mean(point.place, half)

    def scores(half: Half) -> Scores:
        def per_filter(piece: Slice) -> Tensor | None:
            runs = [mean(point, half) for point in layers[piece.tensor]]
            known = [values for values in runs if values is not None]
            return torch.stack(known).mean(0) if known and len(known) == len(runs) else None

        outputs = {s: mean(point, half) for s, point in blocks.items()}
        found = {s: v.mean().reshape(1) / sizes[blocks[s]] for s, v in outputs.items() if v is not None}
        return mean_over_members(groups, per_filter) | found

    return Observer(scores, {point.place: shown(point) for point in points})
