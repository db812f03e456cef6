from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.prune import custom_from_mask

from windfirm.errors import CutError
from windfirm.models.shrink import Kept, compose, shrink, take


def test_tensors_are_sliced_and_layers_mended() -> None:
    model: Any = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 2, 1))
    weight = model.get_parameter("0.weight").detach().clone()
    one = {0: [0, 3]}
    bn = {f"1.{name}": one for name in ("weight", "bias", "running_mean", "running_var")}
    shrink(
        model,
        {"0.weight": one, "0.bias": one} | bn | {"2.weight": one, "2.bias": one, "3.weight": {1: [0, 3]}},
    )
    assert torch.equal(model.get_parameter("0.weight"), weight[[0, 3]])
    assert [str(model[i]) for i in (0, 2, 3)] == [
        "Conv2d(3, 2, kernel_size=(3, 3), stride=(1, 1))",
        "Conv2d(2, 2, kernel_size=(3, 3), stride=(1, 1), groups=2)",
        "Conv2d(2, 2, kernel_size=(1, 1), stride=(1, 1))",
    ]
    assert model[1].num_features == 2
    assert model(torch.zeros(1, 3, 8, 8)).shape == (1, 2, 4, 4)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.InstanceNorm2d])
def test_normalisations_of_every_kind_state_the_channels_that_they_have(norm: Callable[..., nn.Module]) -> None:
    model: Any = nn.Sequential(norm(4, affine=True))
    shrink(model, {name: {0: [0, 3]} for name, tensor in model.state_dict().items() if tensor.ndim})
    assert model[0].num_features == 2


def test_linear_and_transposed_layers_are_mended() -> None:
    model: Any = nn.Sequential(nn.ConvTranspose2d(3, 4, 2), nn.Flatten(), nn.Linear(8, 5))
    shrink(model, {"0.weight": {0: [1], 1: [0, 2]}, "0.bias": {0: [0, 2]}, "2.weight": {0: [4], 1: [0, 1]}})
    assert str(model[0]) == "ConvTranspose2d(1, 2, kernel_size=(2, 2), stride=(1, 1))"
    assert str(model[2]) == "Linear(in_features=2, out_features=1, bias=True)"


def test_a_masked_layer_states_the_sizes_of_what_it_applies() -> None:
    layer: Any = nn.Conv2d(2, 3, 1)
    custom_from_mask(layer, "weight", torch.eye(3, 2).view(3, 2, 1, 1))  # type: ignore[no-untyped-call]
    shrink(layer, {"weight_orig": {0: [0, 2]}, "weight_mask": {0: [0, 2]}, "bias": {0: [0, 2]}})
    assert (layer.out_channels, layer.in_channels) == (2, 2)
    assert torch.equal(layer.weight, layer.weight_orig * layer.weight_mask)
    assert layer.weight.is_leaf  # so that the layer can be copied


def test_a_tensor_with_several_names_shrinks_under_all_of_them() -> None:
    model: Any = nn.Sequential(nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    model[1].weight = model[0].weight
    model[1].running_mean = model[0].running_mean
    model[3].weight = model[2].weight
    shrink(model, {"0.weight": {0: [2, 3]}, "0.running_mean": {0: [2, 3]}, "2.weight": {0: [1]}})
    assert model[0].weight is model[1].weight
    assert model[0].running_mean is model[1].running_mean
    assert model[2].weight is model[3].weight
    assert (model[1].num_features, model[3].out_channels) == (2, 1)


def test_memory_format_gradients_wanted_and_persistence_stay() -> None:
    model: Any = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.register_buffer("scratch", torch.zeros(4), persistent=False)
    model[0].weight.requires_grad_(False)
    shrink(model, {"0.weight": {0: [0, 1]}, "scratch": {0: [0, 1]}})
    assert model[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert not model[0].weight.requires_grad
    assert list(model.state_dict()) == ["0.weight"]
    assert model.get_buffer("scratch").shape == (2,)


def test_the_kept_indices_of_two_cuts_compose_in_the_numbers_of_the_first_network() -> None:
    once, twice = nn.Conv2d(3, 6, 1), nn.Conv2d(3, 6, 1)
    once.load_state_dict(twice.state_dict())
    cuts: list[Kept] = [{"weight": {0: [0, 2, 3, 5]}, "bias": {0: [0, 2, 3, 5]}}, {"weight": {0: [1, 3], 1: [2]}}]
    total: Kept = {"weight": {0: [2, 5], 1: [2]}, "bias": {0: [0, 2, 3, 5]}}
    assert compose(*cuts) == total
    for kept in cuts:
        shrink(twice, kept)
    shrink(once, total)
    assert all(torch.equal(a, b) for a, b in zip(once.parameters(), twice.parameters(), strict=True))


def test_take_copies_and_keeps_the_memory_format() -> None:
    tensor = torch.rand(4, 3, 2, 2).to(memory_format=torch.channels_last)
    taken = take(tensor, {0: [1, 3], 1: [0]})
    assert torch.equal(taken, tensor[[1, 3]][:, [0]])
    assert taken.is_contiguous(memory_format=torch.channels_last)
    assert take(tensor, {}).data_ptr() != tensor.data_ptr()


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        ({"1.weight": {0: [0]}}, "1.weight: expected a parameter or buffer of the network, got none of that name"),
        ({"0.weight": {4: [0]}}, "0.weight: expected an axis below 4, got 4"),
        ({"0.weight": {-1: [0]}}, "0.weight: expected an axis below 4, got -1"),
        ({"0.weight": {0: [2, 1]}}, "0.weight: expected ascending indices below 4 along axis 0, got [2, 1]"),
        ({"0.weight": {0: [1, 1]}}, "0.weight: expected ascending indices below 4 along axis 0, got [1, 1]"),
        ({"0.weight": {0: [0, 4]}}, "0.weight: expected ascending indices below 4 along axis 0, got [0, 4]"),
        ({"0.weight": {0: [-1]}}, "0.weight: expected ascending indices below 4 along axis 0, got [-1]"),
    ],
)
def test_what_the_network_does_not_have_is_refused_before_anything_changes(kept: Kept, message: str) -> None:
    model: Any = nn.Sequential(nn.Conv2d(3, 4, 3))
    before = model[0].weight
    with pytest.raises(CutError) as error:
        shrink(model, {"0.bias": {0: [0]}} | kept)
    assert str(error.value) == message
    assert model[0].weight is before
    assert len(model[0].bias) == 4
