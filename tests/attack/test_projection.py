from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from windfirm.attack.budget import Budget, Norm
from windfirm.attack.projection import project, random_point, steepest

SHAPE = (6, 3, 4, 4)


def uniform(seed: int) -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def size(change: Tensor, norm: Norm) -> Tensor:
    flat = change.flatten(1)
    return flat.abs().amax(1) if norm == "linf" else (flat * flat).sum(1).sqrt()


@settings(deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["linf", "l2"]), st.floats(0, 1), st.floats(0, 10))
def test_what_is_projected_is_inside_and_what_was_inside_stays(seed: int, norm: Norm, eps: float, far: float) -> None:
    images = uniform(seed)
    changed = images + far * (uniform(seed + 1) - 0.5)
    inside = project(changed, images, eps, norm)
    assert (size(inside - images, norm) <= eps + 1e-12).all()
    assert inside.min() >= 0
    assert inside.max() <= 1
    torch.testing.assert_close(project(inside, images, eps, norm), inside, rtol=0, atol=1e-12)


def test_a_long_change_keeps_its_direction_in_l2_and_is_cut_off_in_linf() -> None:
    images = torch.full((1, 1, 1, 2), 0.5)
    changed = torch.tensor([[[[0.8, 0.9]]]])
    torch.testing.assert_close(project(changed, images, 0.05, "l2"), torch.tensor([[[[0.53, 0.54]]]]))
    torch.testing.assert_close(project(changed, images, 0.05, "linf"), torch.tensor([[[[0.55, 0.55]]]]))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_random_points_fill_the_ball_and_belong_to_the_image(norm: Norm) -> None:
    images = torch.full((4000, 1, 1, 2), 0.5, dtype=torch.float64)
    change = random_point(images, Budget(0.1), norm, "toy") - images
    assert (size(change, norm) <= 0.1 + 1e-12).all()
    # Half of the area of either ball is within 1/√2 of its size.
    assert (size(change, norm) < 0.1 / 2**0.5).double().mean() == pytest.approx(0.5, abs=0.03)
    assert change.mean((0, 1, 2)).abs().max() < 0.005
    alone = random_point(images[:1], Budget(0.1, ids=torch.tensor([3])), norm, "toy") - images[:1]
    assert torch.equal(alone[0], change[3])


def test_random_points_fill_a_ball_of_eight_dimensions() -> None:
    images = torch.full((4000, 2, 2, 2), 0.5, dtype=torch.float64)
    sizes = size(random_point(images, Budget(0.1), "l2", "toy") - images, "l2")
    for share in (0.1, 0.5, 0.9):  # of the volume, within share^(1/8) of the radius
        assert (sizes < 0.1 * share ** (1 / 8)).double().mean().item() == pytest.approx(share, abs=0.03)


def test_random_points_of_l2_lie_in_every_direction_alike() -> None:
    images = torch.full((4000, 1, 1, 2), 0.5, dtype=torch.float64)
    x, y = (random_point(images, Budget(0.1), "l2", "toy") - images).flatten(1).unbind(1)
    angles = torch.atan2(y, x)
    # The means of cos kθ and sin kθ are 0, give or take 1/√(2n); of points of a square that of cos 4θ is -0.14.
    for k in (1, 2, 4):
        assert (k * angles).cos().mean().abs() < 5 / 8000**0.5
        assert (k * angles).sin().mean().abs() < 5 / 8000**0.5


def test_the_steepest_step_is_of_size_1_also_where_squares_round_to_nothing() -> None:
    gradient = torch.tensor([3e-30, -4e-30]).view(1, 1, 1, 2)
    torch.testing.assert_close(steepest(gradient, "l2"), torch.tensor([0.6, -0.8]).view(1, 1, 1, 2))
    assert steepest(gradient, "linf").flatten().tolist() == [1, -1]
    assert steepest(torch.zeros(1, 1, 1, 2), "l2").flatten().tolist() == [0, 0]
    norms: tuple[Norm, ...] = get_args(Norm)
    for norm in norms:
        assert steepest(torch.tensor([torch.nan, 2.0]).view(1, 1, 1, 2), norm).flatten().tolist() == [0, 1]
