import copy
import math

import pytest
import torch
from torch import Tensor, nn

from tests.prune.nets import lively, random_cut
from windfirm.adjust.scratch import refresh, work_ratio
from windfirm.errors import InputError
from windfirm.models.resnet import ResNet
from windfirm.prune.cut import cut

IMAGE = torch.zeros(1, 3, 8, 8, dtype=torch.float64)


def values(model: nn.Module) -> list[Tensor]:
    return [value.detach().clone() for value in model.parameters()]


def same(a: list[Tensor], b: list[Tensor]) -> list[bool]:
    return [torch.equal(x, y) for x, y in zip(a, b, strict=True)]


def test_fresh_weights_follow_from_the_seed_and_the_shapes_alone() -> None:
    trained = lively(ResNet(1, 3))
    one = cut(trained, random_cut(trained, IMAGE, 0.5), IMAGE)
    two, other = lively(copy.deepcopy(one), seed=1), copy.deepcopy(one)
    two.to(memory_format=torch.channels_last)
    old, constant = values(one), one.get_buffer("normalize.mean").clone()
    refresh(one, 5)
    refresh(two, 5)
    refresh(other, 6)
    assert not any(same(old, values(one)))
    assert all(same(values(one), values(two)))
    matrices = [value.ndim > 1 for value in values(one)]  # the scales and shifts of the normalisations are 1 and 0
    assert [not equal for equal in same(values(one), values(other))][:-1] == matrices[:-1]
    assert torch.equal(one.get_buffer("bn1.running_mean"), torch.zeros_like(one.get_buffer("bn1.running_mean")))
    assert torch.equal(one.get_buffer("normalize.mean"), constant)


def test_fresh_weights_of_a_network_inside_follow_its_own_rule_for_the_shapes_as_they_are() -> None:
    model = ResNet(1)
    smaller = cut(model, random_cut(model, IMAGE.float(), 0.5), IMAGE.float())
    refresh(smaller, 0)
    for path in ("layer2.0.conv2", "layer3.0.conv2"):
        weight = smaller.get_parameter(f"{path}.weight")
        fan_in = weight[0].numel()  # of the smaller layer; He et al. draw with variance 2 / fan_in
        assert weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.05)
        assert fan_in < model.get_parameter(f"{path}.weight")[0].numel()


class Sevens(nn.Sequential):
    def reset_parameters(self) -> None:
        nn.init.constant_(self.get_parameter("0.weight"), 7)


def test_the_rule_of_the_network_comes_after_that_of_its_layers_and_what_is_frozen_stays() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    model = Sevens(first, second)
    with torch.no_grad():
        for value in model.parameters():
            value.fill_(3)
    second.weight.requires_grad_(False)
    refresh(model, 0)
    assert first.weight.tolist() == [[7, 7], [7, 7]]
    assert (first.bias.abs() < 1).all()
    assert second.weight.tolist() == [[3, 3], [3, 3]]


def test_attention_is_made_anew_as_well() -> None:
    model = nn.MultiheadAttention(4, 2)
    old = copy.deepcopy(model.in_proj_weight)
    refresh(model, 0)
    assert not torch.isclose(model.in_proj_weight, old).any()
    assert (model.in_proj_bias == 0).all()


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma, self.delta = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))


class Fails(nn.Linear):
    ready = False

    def reset_parameters(self) -> None:
        if self.ready:
            raise KeyError("width")
        super().reset_parameters()


def test_parameters_that_nothing_makes_anew_are_named_and_the_network_stays_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(2, 2), Scale())
    before = values(model)
    with pytest.raises(InputError) as error:
        refresh(model, 0)
    assert str(error.value) == (
        "fresh weights: expected parameters that a reset_parameters of their module makes anew, "
        "got none for 1.gamma, 1.delta"
    )
    assert all(same(values(model), before))
    layer = Fails(2, 2)
    layer.ready = True
    failing = nn.Sequential(layer)
    with pytest.raises(InputError) as error:
        refresh(failing, 0)
    wanted = "expected a reset_parameters that works without arguments, got KeyError: 'width'"
    assert str(error.value) == f"fresh weights: 0: {wanted}"


def test_the_ratio_of_the_work_is_that_of_the_macs() -> None:
    def network(width: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(12, width), nn.Linear(width, 2))

    example = torch.zeros(1, 3, 2, 2)
    assert work_ratio(network(8), network(3), example) == (12 * 8 + 8 * 2) / (12 * 3 + 3 * 2)
    with pytest.raises(InputError, match=r"^scratch-b: expected a network with convolutions or linear layers, got 0"):
        work_ratio(network(8), nn.Flatten(), example)
