import pytest
import torch
from torch import Tensor, nn

from tests.oracles import shortest_change
from windfirm.attack.border import distance, leads, rivals, shortest
from windfirm.attack.budget import Norm
from windfirm.attack.projection import length
from windfirm.errors import InputError


def problems(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images of seven values, some at the ends of the box, slopes of which some are zero, and gaps within reach."""
    generator = torch.Generator().manual_seed(1)
    images = (1.4 * torch.rand(count, 1, 1, 7, generator=generator, dtype=torch.float64) - 0.2).clamp(0, 1)
    slopes = torch.randn(count, 1, 1, 7, generator=generator, dtype=torch.float64)
    slopes[:, :, :, 3] *= torch.rand(count, 1, 1, generator=generator) < 0.5
    room = torch.where(slopes > 0, 1 - images, images)
    farthest = (slopes.abs() * room).sum((1, 2, 3))
    lowest = (slopes.abs() * (1 - room)).sum((1, 2, 3))
    share = 0.98 * torch.rand(count, generator=generator, dtype=torch.float64)
    return images, slopes, torch.where(torch.arange(count) % 2 == 0, share * farthest, -share * lowest)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_shortest_change_to_a_plane_within_the_box_is_what_a_solver_finds(norm: Norm) -> None:
    images, slopes, gaps = problems(24)
    found = shortest(images, slopes, gaps, norm)
    torch.testing.assert_close((slopes * found).sum((1, 2, 3)), gaps)
    assert (images + found).min() >= -1e-12
    assert (images + found).max() <= 1 + 1e-12
    for image, slope, gap, change in zip(images, slopes, gaps, found, strict=True):
        best = shortest_change(image.flatten(), slope.flatten(), float(gap), norm).view_as(change)
        torch.testing.assert_close(length(change, norm), length(best, norm), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_plane_beyond_the_box_is_approached_as_far_as_the_box_goes(norm: Norm) -> None:
    images, slopes, gaps = problems(8)
    found = shortest(images, slopes, gaps.sign() * 1e3, norm)
    corner = (slopes * gaps.sign()[:, None, None, None] > 0).double()
    torch.testing.assert_close(images + found, torch.where(slopes == 0, images, corner))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_plane_that_nothing_leads_to_is_infinitely_far_and_changes_nothing(norm: Norm) -> None:
    images, flat, gaps = torch.rand(3, 3, 2, 2), torch.zeros(3, 3, 2, 2), torch.tensor([0.5, 0.0, -2.0])
    assert torch.equal(shortest(images, flat, gaps, norm), flat)
    assert distance(gaps, flat, norm).tolist() == [torch.inf] * 3


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_small_slopes_lose_nothing_in_single_precision(norm: Norm) -> None:
    images, slopes, gaps = (values.float() for values in problems(20))
    tiny = 2.0**-90
    assert torch.equal(shortest(images, slopes * tiny, gaps * tiny, norm), shortest(images, slopes, gaps, norm))
    assert torch.equal(distance(gaps * tiny, slopes * tiny, norm), distance(gaps, slopes, norm))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_change_does_not_depend_on_its_neighbours(norm: Norm) -> None:
    images, slopes, gaps = problems(20)
    together = shortest(images, slopes, gaps, norm)
    for i in range(20):
        torch.testing.assert_close(
            shortest(images[[i]], slopes[[i]], gaps[[i]], norm), together[[i]], rtol=1e-12, atol=1e-15
        )


def test_rivals_are_the_likeliest_other_classes() -> None:
    logits = torch.tensor([[0.0, 3.0, 2.0, 1.0], [5.0, 1.0, 2.0, 4.0]])
    labels = torch.tensor([1, 2])
    assert rivals(logits, labels, 2).tolist() == [[2, 3], [0, 3]]
    assert rivals(logits, labels, 9).tolist() == [[2, 3, 0], [0, 3, 1]]


def test_leads_and_distances_of_a_linear_network_are_those_of_its_weights() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(12, 4).double()
    images, labels = torch.rand(5, 3, 2, 2, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    targets = torch.tensor([[1, 2], [0, 3], [1, 0], [2, 1], [3, 1]])
    ahead, slopes = leads("toy", nn.Sequential(nn.Flatten(), linear), images, labels, targets)
    logits = linear(images.flatten(1))
    for i, k in [(0, 0), (1, 1), (4, 1)]:
        weight = linear.weight[targets[i, k]] - linear.weight[labels[i]]
        lead = logits[i, targets[i, k]] - logits[i, labels[i]]
        torch.testing.assert_close(slopes[i, k].flatten(), weight)
        torch.testing.assert_close(ahead[i, k], lead)
        torch.testing.assert_close(distance(ahead, slopes, "linf")[i, k], lead.abs() / weight.abs().sum())
        torch.testing.assert_close(distance(ahead, slopes, "l2")[i, k], lead.abs() / weight.norm())


def test_a_network_without_a_gradient_is_refused() -> None:
    class Blind(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 3)

    with pytest.raises(InputError) as error:
        leads("toy", Blind(), torch.rand(2, 3, 4, 4), torch.tensor([0, 1]), torch.tensor([[1], [2]]))
    assert str(error.value) == "toy: expected a network with a gradient from its outputs to its images, got none"
