import math
from itertools import pairwise

import pytest
import torch

from windfirm.adjust.schedule import SCHEDULES, onecycle, step


@pytest.mark.parametrize(("t", "share"), [(0.0, 0.04), (0.1, 0.52), (0.2, 1.0), (0.6, 0.5), (1.0, 0.0)])
def test_onecycle_at_its_corners_and_half_way_between(t: float, share: float) -> None:
    assert onecycle(t) == pytest.approx(share, abs=1e-12)


def test_onecycle_falls_as_pytorch_s_cosine_annealing_does() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=80)
    for i in range(80):
        assert onecycle(0.2 + i / 100) == pytest.approx(reference.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        reference.step()


def test_onecycle_rises_for_a_fifth_and_falls_ever_after() -> None:
    shares = [onecycle(i / 1000) for i in range(1000)]
    peak = shares.index(max(shares))
    assert peak == 200
    assert all(a < b for a, b in pairwise(shares[:201]))
    assert all(a > b for a, b in pairwise(shares[200:]))


@pytest.mark.parametrize(
    ("t", "share"), [(0, 1), (math.nextafter(0.5, 0), 1), (0.5, 0.1), (math.nextafter(0.75, 0), 0.1), (0.75, 0.01)]
)
def test_step_divides_by_ten_at_one_half_and_three_quarters(t: float, share: float) -> None:
    assert step(t) == share


def test_names() -> None:
    assert dict(SCHEDULES) == {"onecycle": onecycle, "step": step}
