"""Networks whose code names devices, or brings tensors that no module holds: cut as if it did not, or refused."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.prune import keeping
from tests.prune.nets import Net, frozen, lively
from tests.prune.test_strange_models import EXAMPLE, half, refusal, right
from windfirm.models.cost import cost
from windfirm.prune.cut import cut
from windfirm.prune.select import Cut
from windfirm.prune.structure import structures

MEAN = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)
SCALE = torch.linspace(0.5, 1.5, 8).view(8, 1, 1)
ORDER = torch.tensor([3, 1, 0, 2, 7, 6, 5, 4])


class Settings:
    device, mean, memory = "cpu", MEAN, torch.zeros(2, 3, 8, 8, dtype=torch.float64)


def around(before: Callable[[Tensor], Tensor], after: Callable[[Tensor], Tensor] = torch.relu) -> Any:
    """Two convolutions, the functions before and behind the first, and a residual branch."""

    def run(m: Net, x: Tensor) -> Any:
        y = after(m.a(before(x)))
        return m.b(y + before(m.c(y)) if y.shape[1] == 3 else y)

    return lively(Net(run, a=nn.Conv2d(3, 8, 3, padding=1), b=nn.Conv2d(8, 4, 1), c=nn.Conv2d(3, 3, 1)))


def filled(x: Tensor) -> Tensor:
    y = torch.zeros(x.shape, device=Settings.device, dtype=x.dtype)
    y[:, :2] = x[:, :2]
    return y


PLACES: dict[str, Callable[[Tensor], Tensor]] = {
    "to": lambda x: x.to(Settings.device),
    "to of a type": lambda x: x.to(Settings.device, torch.float64),
    "cpu": lambda x: x.cpu(),
    "type": lambda x: x.type("torch.DoubleTensor"),
    "global": lambda x: x - MEAN,
    "global, viewed": lambda x: x - MEAN.view(3, 1, 1).expand(3, 8, 8),
    "of a class": lambda x: x - Settings.mean,
    "legacy": lambda x: x - torch.Tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1),
    "like another": lambda x: x.type_as(MEAN).to(x),
    "ramp": lambda x: x + torch.arange(8, device=Settings.device),
    "filled": filled,
}


@pytest.mark.parametrize("how", PLACES)
def test_devices_and_constants_in_the_code_are_no_obstacle(how: str) -> None:
    model = around(PLACES[how])
    assert right(model, half(model))
    assert cost(model, EXAMPLE).macs == cost(around(lambda x: x), EXAMPLE).macs


@pytest.mark.parametrize("after", [lambda y: y * SCALE, lambda y: y[:, ORDER], lambda y: y + SCALE.to(y.device)])
def test_channels_that_meet_a_constant_stay(after: Callable[[Tensor], Tensor]) -> None:
    assert frozen(around(lambda x: x, after), EXAMPLE)["a"] is not None


def test_what_is_written_into_a_constant_is_not_lost_sight_of() -> None:
    def remembered(x: Tensor) -> Tensor:
        Settings.memory.copy_(x)
        return Settings.memory * 2

    assert "without their values" in refusal(lambda: half(around(remembered)))


@functools.lru_cache
def ramp(size: int) -> Tensor:
    return torch.linspace(-1, 1, size)


class Kept:
    """Tensors that a class and its file keep from call to call."""

    ramps: dict[str, dict[int, Tensor]] = {"nested": {}}  # noqa: RUF012
    last: Tensor | None = None


class Keeping(nn.Module, Kept):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.a, self.b, self.how = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1), how

    @functools.cache  # noqa: B019
    def own(self, size: int) -> Tensor:
        return torch.linspace(-1, 1, size)

    def kept(self, size: int) -> Any:
        match self.how:
            case "function":
                return ramp(size)
            case "method":
                return self.own(size)
            case "dict":
                return self.ramps["nested"].setdefault(size, torch.linspace(-1, 1, size))
            case "file, function":
                return keeping.cached(size)
            case "file, dict":
                return keeping.kept(size)
            case "list":
                RAMPS.append(torch.linspace(-1, 1, size))
                return RAMPS[0]
        if Kept.last is None:
            Kept.last = torch.linspace(-1, 1, size)
        return Kept.last

    def forward(self, x: Tensor) -> Any:
        return self.b(self.a(x + self.kept(x.shape[-1])).relu())


RAMPS: list[Tensor] = []
LOOKING: list[Callable[[nn.Module, Tensor], object]] = [structures, cost, half]


@pytest.mark.parametrize("how", ["function", "method", "dict", "list", "name", "file, function", "file, dict"])
@pytest.mark.parametrize("act", LOOKING)
@pytest.mark.parametrize("used", [False, True])
def test_what_code_keeps_from_call_to_call_is_none_of_a_run_that_only_looks(how: str, act: Any, used: bool) -> None:
    model, images = Keeping(how), EXAMPLE.float()
    wanted = model.b(model.a(images + torch.linspace(-1, 1, 8)).relu())
    ramp.cache_clear()
    Kept.ramps["nested"].clear()
    RAMPS.clear()
    keeping.cached.cache_clear()
    keeping.RAMPS.clear()
    Kept.last = None
    if used:
        model(images)
    act(model, images)
    assert torch.equal(model(images), wanted)


def test_a_block_of_a_network_that_names_its_device_can_leave() -> None:
    def run(m: Net, x: Tensor) -> Any:
        y = m.a(x.to(Settings.device))
        return m.b(y + m.c(y.cpu()))

    model = lively(Net(run, a=nn.Conv2d(3, 8, 3), c=nn.Conv2d(8, 8, 1), b=nn.Conv2d(8, 4, 1)))
    (block,) = (s for s in structures(model, EXAMPLE) if s.kind == "block")
    smaller = cut(model, Cut({block: (0,)}), EXAMPLE)
    images = torch.randn_like(EXAMPLE)
    assert torch.equal(smaller(images), model.b(model.a(images)))
