"""Intervals by drawing again, with replacement, from the images, and from the trainings where there are several."""

import numpy as np
from numpy.typing import NDArray

from windfirm.errors import InputError, expected

#: How often is drawn; the ends of a 95 % interval are then known to about 6 % of a standard error.
DRAWS = 2_000
#: Draws made at once, which bounds the memory.
AT_ONCE = 250


def bootstrap(differences: NDArray[np.float64], seed: int, level: float = 0.95) -> tuple[float, float]:
    """The percentile interval for the mean of ``differences``, (n,) or (trainings, n), one an image.

    Several trainings share their images. So a draw takes n images and as many trainings as there are, each with
    replacement, and crosses them (the pigeonhole bootstrap; Owen, Annals of Applied Statistics 2007). A bootstrap of k
    trainings is too narrow by √((k - 1) / k); their deviations from the common mean are stretched by as much first (Rao
    & Wu, JASA 1988). Images that no training tells apart are drawn as one class with its count, which is the same and
    costs little. Where no image differs from another the interval is a point: it knows of no others.
    """
    rows = np.atleast_2d(differences)
    trainings, images = rows.shape
    if rows.size == 0:
        raise InputError(expected("bootstrap", "at least one difference", f"shape {differences.shape}"))
    if trainings > 1:
        means = rows.mean(1, keepdims=True)
        rows = rows + (means - means.mean()) * ((trainings / (trainings - 1)) ** 0.5 - 1)
    if trainings == 1:  # the same as below, many times faster
        values, counts = np.unique(rows[0], return_counts=True)
        kinds = values[None]
    else:
        kinds, counts = np.unique(rows, axis=1, return_counts=True)
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS // AT_ONCE):
        of_images = random.multinomial(images, counts / images, AT_ONCE) / images
        of_trainings = random.multinomial(trainings, np.full(trainings, 1 / trainings), AT_ONCE) / trainings
        drawn.append((of_images @ kinds.T * of_trainings).sum(1))
    low, high = np.quantile(np.concatenate(drawn), ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)
