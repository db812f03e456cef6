import math

import pytest
import torch

from windfirm.errors import CutError
from windfirm.prune.criteria.means import Means


def test_halves_are_even_and_odd_images_however_they_come_in_batches() -> None:
    rows = torch.tensor([[1.0, 10], [2, 20], [4, 40], [8, 80], [16, 160]])
    for parts in ([5], [1, 4], [3, 2], [1, 1, 1, 1, 1], [0, 5]):
        means, start = Means("sums"), 0
        for size in parts:
            means.add("a", rows[start : start + size], range(start, start + size))
            start += size
        found = [means.mean("a", half) for half in (None, 0, 1)]
        assert [row.tolist() for row in found if row is not None] == [[31 / 5, 62], [21 / 3, 70], [10 / 2, 50]]


def test_there_is_no_mean_of_nothing() -> None:
    means = Means("sums")
    assert means.mean("a") is None
    means.add("a", torch.ones(1, 2), range(4, 5))
    assert means.mean("a", 1) is None
    assert means.mean("b") is None


def test_small_numbers_are_not_lost_in_half_precision() -> None:
    means = Means("sums")
    for number in range(4096):
        means.add("a", torch.ones(1, 1, dtype=torch.float16), range(number, number + 1))
    row = means.mean("a")
    assert row is not None
    assert row.dtype is torch.float64
    assert row.item() == 1


@pytest.mark.parametrize("strange", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(strange: float) -> None:
    with pytest.raises(CutError) as error:
        Means("sums").add("layer1", torch.tensor([[1.0, strange]]), range(1))
    assert str(error.value) == "sums of layer1: expected finite values, got infinite or undefined ones"
