import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.oracles import linear_binary, linear_radius
from windfirm.adjust.signs import direction
from windfirm.attack.budget import Budget
from windfirm.attack.registry import build
from windfirm.errors import InputError


def random_images(count: int) -> Tensor:
    return 0.3 + 0.4 * torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("eps", [0.001, 0.01, 0.05])
def test_a_linear_network_is_fooled_exactly_within_its_margin(eps: float) -> None:
    weights = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    images = random_images(400)
    bias = -float((images * weights).sum((1, 2, 3)).median())
    model = linear_binary(weights, bias)
    labels = model(images).argmax(1)
    changed = build("fgsm").apply(model, images, labels, Budget(eps))
    fooled = model(changed).argmax(1) != labels
    within = linear_radius(weights, bias, images) < eps
    assert torch.equal(fooled, within)
    assert 0 < int(within.sum()) < 400


def test_the_direction_is_the_sign_of_the_cross_entropy_gradient() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 5)).double()
    images, labels = random_images(8).requires_grad_(), torch.arange(8) % 5
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(images), labels), images)
    assert torch.equal(direction(model, images, labels), gradient.sign())


def test_a_sure_network_still_has_its_gradient_in_single_precision() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 3)).double()
    with torch.no_grad():
        model.get_parameter("1.weight")[0] *= 100
        model.get_parameter("1.bias")[0] += 200  # class 0 wins by far more than float32 can tell from certainty
    images, labels = random_images(8), torch.zeros(8, dtype=torch.int64)
    precise = direction(model, images, labels)
    assert F.cross_entropy(model(images), labels) < 1e-12
    assert torch.equal(direction(model.float(), images.float(), labels), precise.float())
    assert (precise != 0).all()


def test_eps_0_changes_nothing_and_results_stay_in_range() -> None:
    model = linear_binary(torch.ones(3, 4, 4), 0.0)
    images = torch.rand(5, 3, 4, 4)
    labels = torch.ones(5, dtype=torch.int64)
    assert torch.equal(build("fgsm").apply(model, images, labels, Budget(0.0)), images)
    changed = build("fgsm").apply(model, images, labels, Budget(1.0))
    assert torch.equal(changed, torch.zeros_like(images))


def test_parameters_and_images_are_left_as_they_were() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 3))
    model.get_parameter("1.bias").requires_grad_(False)
    images = torch.rand(2, 3, 4, 4)
    with torch.no_grad():
        direction(model, images, torch.tensor([0, 1]))
    assert [p.requires_grad for p in model.parameters()] == [True, False]
    assert all(p.grad is None for p in model.parameters())
    assert not images.requires_grad


def test_a_network_without_a_gradient_is_refused() -> None:
    class Blind(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 3)

    with pytest.raises(InputError) as error:
        direction(Blind(), torch.rand(2, 3, 4, 4), torch.tensor([0, 1]))
    assert str(error.value) == "fgsm: expected a network with a gradient from its outputs to its images, got none"
