from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.prune.nets import EXAMPLE, lively
from windfirm.errors import InputError
from windfirm.prune.budget import Budget, budget, by_turns, timed
from windfirm.prune.select import Cut
from windfirm.prune.structure import Structure


@pytest.mark.parametrize(
    ("asked", "left"),
    [
        (Budget("macs", 0.125), [0.5, 0.25, 0.125]),
        (Budget("latency", 0.512), [0.8, 0.64, 0.512]),
        (Budget("ratio", 0.875), [0.5, 0.25, 0.125]),
    ],
)
def test_every_round_takes_the_same_share_of_what_is_left(asked: Budget, left: list[float]) -> None:
    assert [asked.left(number, 3) for number in (1, 2, 3)] == pytest.approx(left)


def test_exactly_one_budget_is_given() -> None:
    assert budget(rate=None, macs=0.5) == Budget("macs", 0.5)
    with pytest.raises(InputError, match="exactly one of rate, ratio, macs, params or latency, got none"):
        budget(rate=None)
    with pytest.raises(InputError, match="budget: expected rate or ratio or macs or params or latency, got flops"):
        Budget("flops", 0.5)
    with pytest.raises(InputError, match=r"rate: expected a share in \(0, 1\), got nan"):
        Budget("rate", float("nan"))


@pytest.mark.parametrize("given", [np.float32(0.5), np.array(0.5), torch.tensor(0.5), Fraction(1, 2)])
def test_a_share_is_a_number_of_any_kind(given: Any) -> None:
    assert type(budget(macs=given).share) is float
    assert budget(macs=given) == Budget("macs", 0.5)


@pytest.mark.parametrize(
    ("given", "got"), [("0.5", "'0.5'"), ([0.5], r"\[0.5\]"), (torch.ones(99), "tensor"), (1j, "1j")]
)
def test_what_is_no_number_is_no_share(given: Any, got: str) -> None:
    with pytest.raises(InputError, match=rf"^ratio: expected a share in \(0, 1\), got {got}[^\n]*$"):
        budget(ratio=given)


def test_networks_are_timed_by_turns_in_a_batch_like_the_example() -> None:
    seen: list[tuple[int, ...]] = []

    class Watched(nn.Flatten):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(tuple(x.shape))
            return super().forward(x)

    times = by_turns(EXAMPLE)([Watched(), nn.Identity()])
    assert set(seen) == {(64, 2, 8, 8)}
    assert len(times) == 2
    assert min(times) > 0
    with pytest.raises(InputError, match="latency: expected one tensor as example input, got list"):
        by_turns([EXAMPLE])([nn.Identity()])


def test_what_a_network_keeps_of_a_pass_that_is_timed_does_not_reach_the_network_itself() -> None:
    class Keeping(nn.Conv2d):
        scale: torch.Tensor | None = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.scale is None:
                self.scale = torch.full((), 2.0, dtype=x.dtype)
            return super().forward(x) * self.scale

    model = Keeping(2, 3, 1)
    by_turns(EXAMPLE)([model])
    model(EXAMPLE.float()).sum().backward()  # impossible with a tensor that was made for inference
    assert model.weight.grad is not None


def test_a_cut_is_measured_once_and_as_a_share_of_the_first_network() -> None:
    first, group = lively(nn.Conv2d(2, 4, 3)), Structure("0", "filters", 4, ())
    made: list[int] = []

    def make(cut: Cut) -> nn.Module:
        made.append(cut.units)
        return nn.Identity()

    spent = timed(first, make, lambda models: [4.0, 3.0 if models[0] is first else 0.0])
    cuts = [Cut({group: (0,)}), Cut({group: (0, 1)}), Cut({group: (0,)})]
    assert [spent(cut) for cut in cuts] == [0.75, 0.75, 0.75]
    assert made == [1, 2]
