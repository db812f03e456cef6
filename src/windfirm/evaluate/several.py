"""Several trainings of the same two networks: what they have in common, and how far they lie apart."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from windfirm import seeds
from windfirm.errors import InputError, expected
from windfirm.evaluate.bootstrap import bootstrap
from windfirm.evaluate.outcome import Outcome
from windfirm.evaluate.paired import check_same, per_image

#: How many of 100 intervals hold, by the number of trainings, where these differ far more than images do (simulated).
COVERED = {2: 65, 3: 85, 5: 86, 10: 91}


@dataclass(frozen=True)
class Combined:
    """A difference over several trainings, in percentage points with a sign.

    ``each``: that of each training; ``points``: their mean; ``spread``: their standard deviation; ``low`` and ``high``:
    a 95 % interval for other trainings on other images of the same kind.
    """

    each: tuple[float, ...]
    points: float
    spread: float
    low: float
    high: float


def combine(pairs: Sequence[tuple[Outcome, Outcome]], *, seed: int = 0) -> Combined:
    """First minus second of each pair, one pair a training, all of one attack on the same images.

    The interval is a bootstrap over trainings and images; see bootstrap. It is too wide where chance acts on each image
    of each training alone, as both drawings then count it (Owen 2007). Where trainings differ far more than images do
    and are few it is too narrow; COVERED says by how much. Raises InputError for fewer than two pairs, and for outcomes
    that are not of the same attack on the same images.
    """
    if len(pairs) < 2:
        raise InputError(expected("combine", "the outcomes of at least two trainings", len(pairs)))
    first = pairs[0][0]
    for pair in pairs:
        for outcome in pair:
            check_same(first, outcome)
    differences = np.stack([per_image(ours, theirs)[0] for ours, theirs in pairs]) / first.trials
    each = differences.mean(1)
    low, high = bootstrap(differences, seeds.number(seed, "bootstrap over trainings", first.attack))
    points = tuple(float(100 * mean) for mean in each)
    return Combined(points, float(100 * each.mean()), float(100 * each.std(ddof=1)), 100 * low, 100 * high)
