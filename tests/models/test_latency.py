import time

import pytest
import torch
from torch import Tensor, nn

from windfirm.errors import InputError
from windfirm.models.latency import WARM_UP, Latency, latencies


class Spy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.BatchNorm2d(1).eval()
        self.seen: list[tuple[bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append((self.training or self.frozen.training, torch.is_inference_mode_enabled()))
        return x


def test_median_and_quartiles_per_image_of_a_clock_that_is_told_what_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 8.0, 10.0, 11.0, 20.0, 22.0, 30.0, 34.0, 40.0, 56.0])  # passes of 8, 1, 2, 4 and 16 seconds
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    assert latencies([Spy()], torch.zeros(2, 1, 4, 4), repeats=5) == (Latency(2.0, 1.0, 4.0, batch=2, repeats=5),)


def test_several_networks_take_turns_pass_by_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 1.0, 1.0, 11.0, 20.0, 23.0, 30.0, 60.0])  # 1 and 10 seconds, then 3 and 30
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))
    first, second = latencies([Spy(), Spy()], torch.zeros(1, 1, 4, 4), repeats=2)
    assert (first.median, second.median) == (2.0, 20.0)


def test_every_pass_is_in_eval_and_inference_mode_and_every_module_gets_its_own_mode_back() -> None:
    model = Spy()
    (result,) = latencies([model], torch.zeros(1, 1, 4, 4), repeats=4)
    assert model.seen == [(False, True)] * (WARM_UP + 4)
    assert (model.training, model.frozen.training) == (True, False)
    assert 0 < result.low <= result.median <= result.high


def test_a_network_that_changes_its_input_in_place_meets_the_same_in_every_pass() -> None:
    class Adding(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            met.append(float(x.max()))
            return x.add_(1)

    met: list[float] = []
    images = torch.zeros(1, 1, 4, 4)
    latencies([Adding()], images, repeats=2)
    assert met == [0.0] * (WARM_UP + 2)
    assert images.max() == 0


def test_the_mode_comes_back_after_an_error_too() -> None:
    model = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(RuntimeError):
        latencies([model], torch.zeros(1, 4))
    assert model.training


def test_a_single_repeat_has_no_spread_and_is_refused() -> None:
    with pytest.raises(InputError) as error:
        latencies([Spy()], torch.zeros(1, 1, 4, 4), repeats=1)
    assert str(error.value) == "latency: expected at least one image and two repeats, got 1 and 1"


def test_filters_that_training_left_channels_last_are_timed_like_those_of_a_fresh_network() -> None:
    class Filters(nn.Conv2d):
        seen: list[bool] = []  # noqa: RUF012

        def forward(self, x: Tensor) -> Tensor:
            self.seen.append(self.weight.is_contiguous())
            return super().forward(x)

    trained = Filters(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    latencies([trained, Filters(3, 4, 3)], torch.zeros(1, 3, 8, 8), repeats=2)
    assert Filters.seen == [True] * 2 * (WARM_UP + 2)
    assert trained.weight.is_contiguous(memory_format=torch.channels_last)
