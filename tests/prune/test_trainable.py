from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.prune.nets import EXAMPLE, Net, lively
from windfirm.errors import CutError
from windfirm.prune.cut import cut
from windfirm.prune.select import Cut
from windfirm.prune.structure import structures

REFUSED = "cut: expected a smaller network that runs in training, as the original does, got an error in its "


class Noise(nn.Module):
    """Noise for as many channels as there were when it was made, in training alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shape = f"{channels}"  # no number that a rehearsal could change

    def forward(self, x: Tensor) -> Any:
        return x + torch.randn(1, int(self.shape), 1, 1) if self.training else x


class Throw(nn.Module):
    """Looks at a value, which cannot be known without data, and then adds a head of its own; in training alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.head = nn.Linear(channels, 2)

    def forward(self, x: Tensor) -> Any:
        if self.training and x.sum().item() < torch.inf:
            return x + self.head(x.mean((2, 3))).mean()
        return x


class Scale(torch.autograd.Function):
    """Has its own gradient, for as many channels as are asked for."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, channels: str) -> Any:
        ctx.channels = channels
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Any:
        return slope * slope.new_ones(int(ctx.channels), 1, 1), None


class Own(nn.Module):
    """Has its own gradient, for as many channels as there were when it was made."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shape = f"{channels}"

    def forward(self, x: Tensor) -> Any:
        return Scale.apply(x, self.shape)  # type: ignore[no-untyped-call]


def without_one(middle: nn.Module) -> nn.Module:
    model = lively(Net(lambda m, x: m.b(m.middle(m.a(x))), a=nn.Conv2d(2, 4, 3), middle=middle, b=nn.Conv2d(4, 2, 3)))
    return cut(model, Cut({next(s for s in structures(model, EXAMPLE) if s.name == "a"): (1,)}), EXAMPLE)


@pytest.mark.parametrize(("middle", "where"), [(Noise(4), "forward"), (Throw(4), "forward"), (Own(4), "backward")])
def test_a_smaller_network_that_could_not_be_trained_is_refused(middle: nn.Module, where: str) -> None:
    with pytest.raises(CutError) as error:
        without_one(middle)
    assert str(error.value).startswith(f"{REFUSED}{where} pass: ")


@pytest.mark.parametrize("middle", [Noise(1), Noise(5), Own(1), Own(5), nn.BatchNorm2d(4), nn.Dropout(0.5)])
def test_others_and_those_that_could_not_be_trained_before_are_not(middle: nn.Module) -> None:
    assert without_one(middle).get_parameter("a.weight").shape[0] == 3


class Drop(nn.Module):
    """Leaves its layer out now and then, as stochastic depth does; whether is known with data alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Any:
        return x if self.training and torch.rand(()) < 0.2 else x + self.layer(x)


def test_a_network_that_draws_while_it_trains_is_cut() -> None:
    assert without_one(Drop(4)).get_parameter("middle.layer.0.weight").shape == (3, 3, 1, 1)
