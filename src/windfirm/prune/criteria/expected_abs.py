"""The mean absolute value of a filter's feature map (Tan and Motani, DropNet, ICML 2020)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from windfirm.prune.criteria.base import Observer, Subject, criterion
from windfirm.prune.criteria.maps import mean_over_maps
from windfirm.prune.criteria.points import spread_out
from windfirm.prune.structure import Structure


@criterion("expected-abs", data=True)
def expected_abs(subject: Subject, structures: Sequence[Structure], seed: int) -> Observer:
    """Scores of shape ``(size,)``: the mean over images and positions, in units of the activations.

    The map is the one behind the layer's activation. A block has the mean over all channels of its output. Maps that
    are not one an image give no score; see maps. Raises CutError for activations that are not finite.
    """
    return mean_over_maps("expected-abs", subject, structures, _mean_abs)


def _mean_abs(output: Tensor, axis: int, images: int) -> Tensor | None:
    maps = spread_out(output, axis, images)
    return None if maps is None else torch.linalg.vector_norm(maps, 1, 2) / maps.shape[2]
