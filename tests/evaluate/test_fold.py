from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.evaluate.toys import small_network
from windfirm.evaluate.fold import folded
from windfirm.models.device import is_exact
from windfirm.models.resnet import resnet20

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Pair(nn.Module):
    """A convolution and a normalisation that is not trivial; how they are used is for others to say."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        nn.init.uniform_(self.norm.weight, 0.5, 2)
        with torch.no_grad():
            self.norm(3 * torch.rand(32, 3, 8, 8))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x).mean((2, 3))

    def used(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))


class Shortcut(Pair):
    def used(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return torch.add(x, F.relu(self.norm(x)))


class Twice(Pair):
    def used(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(self.norm(self.conv(x))))


class Between(Pair):
    def used(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(F.relu(self.conv(x))))


class Elsewhere(Pair):
    def used(self, x: Tensor) -> Tensor:
        return torch.add(self.norm(self.conv(x)), self.norm.weight.sum())


class Batchwise(Pair):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3, track_running_stats=False).eval()


class Peeking(Pair):
    """Computes something else when its layers are others."""

    def used(self, x: Tensor) -> Tensor:
        return torch.mul(self.norm(self.conv(x)), 1 if isinstance(self.norm, nn.BatchNorm2d) else 2)


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def same(ours: nn.Module, theirs: nn.Module, images: Tensor) -> None:
    slopes = []
    for network in (ours, theirs):
        pixels = images.clone().requires_grad_()
        logits = network(pixels)
        slopes.append((logits, *torch.autograd.grad(logits.square().sum(), pixels)))
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("make", [Pair, small_network])
def test_a_normalisation_after_a_convolution_goes_into_it(make: Callable[[], nn.Module]) -> None:
    network = make()
    cheaper = folded(network, IMAGES)
    assert (norms(network), norms(cheaper)) == (1, 0)
    same(cheaper, network, torch.rand(8, 3, 8, 8))


def test_every_normalisation_of_a_resnet_goes() -> None:
    torch.manual_seed(0)
    network = resnet20()
    with torch.no_grad():
        network(torch.rand(16, 3, 8, 8))
    cheaper = folded(network.eval(), IMAGES)
    assert (norms(network), norms(cheaper)) == (19, 0)
    same(cheaper, network, torch.rand(8, 3, 8, 8))


@pytest.mark.parametrize("make", [Shortcut, Twice, Between, Elsewhere, Batchwise, Peeking])
def test_what_cannot_be_folded_stays_as_it_is(make: Callable[[], nn.Module]) -> None:
    network = make()
    cheaper = folded(network, IMAGES)
    assert norms(cheaper) == 1
    assert cheaper is not network
    with torch.no_grad():
        assert torch.equal(cheaper(IMAGES), network(IMAGES))


def test_a_network_that_fails_is_copied() -> None:
    network = Pair()
    cheaper = folded(network, torch.rand(1, 5, 8, 8))
    assert norms(cheaper) == 1
    assert not any(module._forward_hooks for module in (*network.modules(), *cheaper.modules()))


def test_outputs_are_compared_in_float32_where_a_gpu_would_round_them() -> None:
    class Rounding(Pair):
        def forward(self, x: Tensor) -> Tensor:
            x = super().forward(x)
            return x if is_exact() else x * (1 + torch.rand(()) / 1000)

    network = Rounding()
    assert isinstance(folded(network, IMAGES).norm, nn.Identity)
