"""The mean rank of a filter's feature map (Lin et al., HRank, CVPR 2020).

The rank hardly depends on which images it is taken from: 500 to 640 of them suffice.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from windfirm.errors import CutError, expected
from windfirm.prune.criteria.base import Half, Observer, Scores, Subject, criterion
from windfirm.prune.criteria.means import Means
from windfirm.prune.criteria.members import mean_over_members
from windfirm.prune.criteria.points import CONVOLUTION, Point, block_map, feature_map, makers
from windfirm.prune.criteria.rank import ranks
from windfirm.prune.structure import Slice, Structure


@criterion("hrank", data=True)
def hrank(subject: Subject, structures: Sequence[Structure], seed: int) -> Observer:
    """Scores of shape ``(size,)``: the mean over images of the map's rank, from 0 to the smaller of height and width.

    The map is the one behind the convolution's activation, see points; a layer that runs several times has the mean
    over its runs. A block has the mean over all channels of its output of rank / side, from 0 to 1, so that blocks of
    different resolutions compare. What has not one map of height × width an image and channel gives no score, such as
    a linear layer. Raises CutError for activations that are not finite.
    """
    traced = subject.traced
    groups = [s for s in structures if s.kind == "filters"]
    made = {piece.tensor: makers(traced, piece) for s in groups for piece in s.producers}
    layers = {tensor: [feature_map(traced, call) for call in calls if call.op is CONVOLUTION]
              for tensor, calls in made.items()}  # fmt: skip
    blocks = {s: point for s in structures if s.kind == "block" and (point := block_map(traced, s))}
    absolute, relative = Means("hrank"), Means("hrank")
    strange: set[Point] = set()

    def shown(point: Point) -> Callable[[Tensor, range], None]:
        def show(output: Tensor, images: range) -> None:
            if output.ndim != 4 or point.axis != 1 or len(output) != len(images):
                strange.add(point)
                return
            if not all(bool(bound.isfinite()) for bound in output.detach().aminmax()):
                wanted = f"finite outputs of {point.place.module or 'the network'}"
                raise CutError(expected("hrank", wanted, "infinite or undefined ones"))
            found = ranks(output)
            absolute.add(point, found, images)
            relative.add(point, found / min(output.shape[2:]), images)

        return show

    def mean(means: Means, point: Point, half: Half) -> Tensor | None:
        return None if point in strange else means.mean(point, half)

    def scores(half: Half) -> Scores:
        def per_filter(piece: Slice) -> Tensor | None:
            runs = [mean(absolute, point, half) for point in layers[piece.tensor]]
            known = [values for values in runs if values is not None]
            return torch.stack(known).mean(0) if known and len(known) == len(runs) else None

        whole = {s: mean(relative, point, half) for s, point in blocks.items()}
        found = {s: values.mean().reshape(1) for s, values in whole.items() if values is not None}
        return mean_over_members(groups, per_filter) | found

    points = {point for runs in layers.values() for point in runs} | set(blocks.values())
    return Observer(scores, {point.place: shown(point) for point in points})
