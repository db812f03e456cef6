"""The oracle of cuts itself: it accepts cuts made by hand, and sees each way to make one wrong."""

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.prune.nets import Net, lively
from tests.silence import error

INPUT = torch.randn(2, 3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
STAY = [0, 2, 3]


def between(norm: Callable[[int], nn.Module]) -> Any:
    """A convolution, a norm, and a convolution that reads four channels."""
    return lively(nn.Sequential(nn.Conv2d(3, 4, 3), norm(4), nn.Sigmoid(), nn.Conv2d(4, 2, 1)))


def by_hand(model: Any, made: Sequence[int] = STAY, normed: Sequence[int] = STAY, read: Sequence[int] = STAY) -> Any:
    """Channels of the norm's input that stay, as each of the three layers has it."""
    small = copy.deepcopy(model)
    small[0].weight.data, small[0].bias.data = model[0].weight.data[list(made)], model[0].bias.data[list(made)]
    for name, tensor in (*small[1].named_parameters(), *small[1].named_buffers()):
        if tensor.ndim:
            setattr(small[1], name, _like(tensor, tensor.data[list(normed)]))
    for size in ("num_features", "num_channels"):
        if hasattr(small[1], size):
            setattr(small[1], size, len(normed))
    small[3].weight.data = model[3].weight.data[:, list(read)]
    return small


def _like(old: Tensor, new: Tensor) -> Tensor:
    return nn.Parameter(new) if isinstance(old, nn.Parameter) else new


class ChannelNorm(nn.Module):
    """A norm of the last axis, over the channels."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Any:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


NORMS = [nn.BatchNorm2d, lambda c: nn.GroupNorm(1, c), lambda c: nn.InstanceNorm2d(c, affine=True)]


@pytest.mark.parametrize("norm", NORMS)
def test_a_right_cut_is_right(norm: Callable[[int], nn.Module]) -> None:
    model = between(norm)
    assert error(model, by_hand(model), [INPUT]) < 1e-14


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.RMSNorm])
def test_statistics_over_channels_are_those_of_the_kept_ones(norm: Callable[[int], nn.Module]) -> None:
    model = lively(nn.Sequential(nn.Conv2d(3, 4, 3), ChannelNorm(norm(4)), nn.Sigmoid(), nn.Conv2d(4, 2, 1)))
    small = copy.deepcopy(model)
    small[1].norm = norm(3).double()
    small[1].norm.weight.data = model[1].norm.weight.data[STAY]
    if isinstance(small[1].norm, nn.LayerNorm):
        small[1].norm.bias.data = model[1].norm.bias.data[STAY]
    small[0].weight.data, small[0].bias.data = model[0].weight.data[STAY], model[0].bias.data[STAY]
    small[3].weight.data = model[3].weight.data[:, STAY]
    assert error(model, small, [INPUT]) < 1e-14


def test_standardised_weights_are_standardised_over_what_stays() -> None:
    def run(m: Any, x: Tensor) -> Tensor:
        weight = F.batch_norm(m.b.weight.reshape(1, len(m.b.weight), -1), None, None, m.gain, None, True, 0.0, 1e-6)
        return F.conv2d(m.a(x).sigmoid(), weight.reshape_as(m.b.weight), m.b.bias)

    gain = nn.Parameter(torch.ones(2))
    model = lively(Net(run, a=nn.Conv2d(3, 4, 3), b=nn.Conv2d(4, 2, 3), gain=gain))
    small = copy.deepcopy(model)
    small.a.weight.data, small.a.bias.data = model.a.weight.data[STAY], model.a.bias.data[STAY]
    small.b.weight.data = model.b.weight.data[:, STAY]
    assert error(model, small, [INPUT]) < 1e-14


@pytest.mark.parametrize("part", ["made", "normed", "read"])
@pytest.mark.parametrize("channels", [[1, 2, 3], [2, 0, 3]])
def test_another_channel_or_another_order_shows(part: str, channels: list[int]) -> None:
    model = between(nn.BatchNorm2d)
    assert error(model, by_hand(model, **{part: channels}), [INPUT]) > 1e-3


def test_other_statistics_show() -> None:
    model = between(nn.BatchNorm2d)
    small = by_hand(model)
    small[1].running_mean = model[1].running_mean[[1, 2, 3]]
    assert error(model, small, [INPUT]) > 1e-3


def test_an_output_of_another_shape_shows() -> None:
    model = between(nn.BatchNorm2d)
    small = by_hand(model)
    small[3].weight.data, small[3].bias.data = small[3].weight.data[:1], small[3].bias.data[:1]
    assert error(model, small, [INPUT]) == math.inf


def test_a_number_that_the_original_has_not_is_told() -> None:
    model = between(nn.BatchNorm2d)
    small = by_hand(model)
    small[0].weight.data[0, 0, 0, 0] += 1
    with pytest.raises(AssertionError, match="holds numbers that the original has not"):
        error(model, small, [INPUT])
