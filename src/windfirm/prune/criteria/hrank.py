"""The mean rank of a filter's feature map (Lin et al., HRank, CVPR 2020).

The rank hardly depends on which images it is taken from: 500 to 640 of them suffice.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from windfirm.prune.criteria.base import Observer, Subject, criterion
from windfirm.prune.criteria.maps import mean_over_maps
from windfirm.prune.criteria.rank import ranks
from windfirm.prune.structure import Structure


@criterion("hrank", data=True)
def hrank(subject: Subject, structures: Sequence[Structure], seed: int) -> Observer:
    """Scores of shape ``(size,)``: the mean over images of the map's rank, from 0 to the smaller of height and width.

    The map is the one behind the convolution's activation. A block has the mean over all channels of its output of
    rank / side, from 0 to 1, so that blocks of different resolutions compare. What has not one map of height × width
    an image and channel gives no score, such as a linear layer; see maps. Raises CutError for activations that are not
    finite.
    """
    return mean_over_maps("hrank", subject, structures, _ranks, whole=lambda maps: min(maps.shape[2:]))


def _ranks(output: Tensor, axis: int, images: int) -> Tensor | None:
    if output.ndim != 4 or axis != 1 or len(output) != images:
        return None
    if not all(bool(bound.isfinite()) for bound in output.aminmax()):
        return torch.full(output.shape[:2], torch.nan)  # for the mean to complain about
    return ranks(output)
