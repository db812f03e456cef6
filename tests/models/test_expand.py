import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.prune.nets import lively
from windfirm.errors import CutError
from windfirm.models.blueprint import Blueprint, apply, blueprint_of, origin_of
from windfirm.models.expand import expand
from windfirm.models.registry import build
from windfirm.models.shrink import Kept

ONE = [0, 2]
KEPT: Kept = {
    "conv.weight": {0: ONE},
    "conv.bias": {0: ONE},
    "norm.weight": {0: ONE},
    "norm.bias": {0: ONE},
    "norm.running_mean": {0: ONE},
    "norm.running_var": {0: ONE},
    "deep.weight": {0: ONE},
    "deep.bias": {0: ONE},
    "last.weight": {1: ONE},
}


class Net(nn.Module):
    """A chain, a residual block, a buffer that is not stored and a tensor that is a plain attribute."""

    table: Tensor

    def __init__(self, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = norm or nn.BatchNorm2d(4)
        self.deep = nn.Conv2d(4, 4, 1, groups=4)
        self.last = nn.Conv2d(4, 5, 1)
        self.branch = nn.Sequential(nn.Conv2d(5, 5, 1), nn.BatchNorm2d(5))
        self.scale = torch.full((5, 1, 1), 0.5)
        self.register_buffer("table", torch.full((5, 1, 1), 2.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.last(self.deep(self.norm(self.conv(x)).sigmoid()))
        x = x + self.branch(x)
        return x * self.scale.to(x.dtype) + self.table


def cut(model: nn.Module, replaced: dict[str, str] | None = None, kept: Kept | None = None) -> Any:
    smaller = copy.deepcopy(model)
    apply(smaller, Blueprint(KEPT if kept is None else kept, replaced=replaced or {}))
    return smaller


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def assert_equal(one: nn.Module, other: nn.Module, shape: tuple[int, ...] = (2, 3, 6, 6)) -> None:
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(one(x), other(x), rtol=1e-12, atol=1e-12)


def test_filters_that_left_are_zeros_and_the_outputs_are_the_same() -> None:
    model = lively(Net())
    smaller = cut(model)
    whole: Any = expand(smaller, torch.zeros(1, 3, 6, 6))
    assert shapes(whole) == shapes(model)
    assert (whole.conv.out_channels, whole.deep.groups) == (4, 4)
    assert_equal(whole, smaller)
    assert torch.equal(whole.conv.weight[ONE], model.conv.weight[ONE])
    for name, gone in (("conv.weight", 0), ("conv.bias", 0), ("norm.running_var", 0), ("last.weight", 1)):
        assert not whole.state_dict()[name].index_select(gone, torch.tensor([1, 3])).any()


@pytest.mark.parametrize("replaced", [{"branch.0": "skip", "branch.1": "silence"}, {"branch": "silence"}])
def test_a_branch_that_left_adds_nothing(replaced: dict[str, str]) -> None:
    model = lively(Net())
    smaller = cut(model, replaced)
    whole = expand(smaller, torch.zeros(1, 3, 6, 6))
    assert shapes(whole) == shapes(model)
    assert_equal(whole, smaller)
    assert not any(parameter.any() for parameter in whole.branch.parameters())  # type: ignore[union-attr]


def test_the_expanded_network_was_never_cut_and_the_smaller_one_is_untouched() -> None:
    smaller = cut(lively(Net()))
    before = copy.deepcopy(smaller.state_dict())
    whole = expand(smaller)
    assert (blueprint_of(whole), origin_of(whole)) == (Blueprint(), None)
    with torch.no_grad():
        whole.get_parameter("last.weight").zero_()
    assert all(torch.equal(tensor, before[name]) for name, tensor in smaller.state_dict().items())


def test_what_training_changed_since_comes_from_the_smaller_network() -> None:
    smaller = cut(lively(Net())).float()
    smaller.scale = smaller.scale * 3
    smaller.table.mul_(2)
    smaller.conv.weight.requires_grad_(False)
    smaller.train()
    smaller.norm.eval()
    whole: Any = expand(smaller)
    assert {parameter.dtype for parameter in whole.parameters()} == {torch.float32}
    assert (whole.training, whole.conv.training, whole.norm.training) == (True, True, False)
    assert torch.equal(whole.scale, torch.full((5, 1, 1), 1.5))
    assert torch.equal(whole.table, smaller.table)
    assert (whole.conv.weight.requires_grad, whole.conv.bias.requires_grad) == (False, True)
    assert whole.scale is not smaller.scale


def test_what_left_as_a_whole_has_the_type_of_the_rest() -> None:
    whole = expand(cut(Net(), {"branch": "silence"}).double())
    assert {parameter.dtype for parameter in whole.parameters()} == {torch.float64}


def test_shared_weights_are_filled_once_and_stay_shared() -> None:
    model: Any = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    smaller: Any = cut(model, kept={"0.weight": {0: [1], 1: [1]}, "0.bias": {0: [1]}, "1.bias": {0: [1]}})
    whole: Any = expand(smaller)
    assert whole[0].weight is whole[1].weight
    assert whole[0].weight.shape == (4, 4)
    assert whole[0].weight[1, 1] == smaller[1].weight[0, 0]
    assert int(whole[0].weight.count_nonzero()) == 1


def test_two_cuts_of_a_built_in_network_and_its_shortcuts() -> None:
    model = lively(build("resnet20"))
    inner = {f"layer2.0.{name}": {0: list(range(5, 32))} for name in ("conv1.weight", "bn1.weight", "bn1.bias")}
    inner |= {f"layer2.0.bn1.running_{name}": {0: list(range(5, 32))} for name in ("mean", "var")}
    apply(model, Blueprint({**inner, "layer2.0.conv2.weight": {1: list(range(5, 32))}}))
    apply(model, Blueprint({"layer2.0.conv2.weight": {1: [0, 1]}} | {name: {0: [0, 1]} for name in inner}))
    apply(model, Blueprint(replaced={"layer3.1": "skip"}))
    whole = expand(model, torch.zeros(1, 3, 32, 32))
    assert shapes(whole) == shapes(build("resnet20"))
    assert_equal(whole, model, (1, 3, 32, 32))
    assert whole.get_parameter("layer2.0.conv1.weight").flatten(1).any(1).nonzero().flatten().tolist() == [5, 6]


def test_a_network_that_was_never_cut_is_copied() -> None:
    model = lively(Net())
    whole = expand(model)
    assert whole is not model
    assert_equal(whole, model)


def test_statistics_over_channels_that_left_are_told_when_they_can_be_seen() -> None:
    kept: Kept = {name: axes for name, axes in KEPT.items() if "running" not in name}
    smaller = cut(lively(Net(nn.GroupNorm(1, 4))), kept=kept)
    assert shapes(expand(smaller))["norm.weight"] == (4,)  # nothing was proved
    with pytest.raises(CutError) as error:
        expand(smaller, [torch.zeros(1, 3, 6, 6)])
    assert str(error.value).startswith("expand: expected the outputs of the smaller network within 1e-09, got a rel")
    assert str(error.value).endswith("; norm takes its statistics over channels that left, which zeros change")


def test_a_layer_that_handed_on_its_input_cannot_be_made_of_zeros() -> None:
    smaller = cut(lively(Net()), {"deep": "skip"}, {})
    with pytest.raises(CutError, match="expected the outputs of the smaller network within 1e-09, got a relative diff"):
        expand(smaller, {"x": torch.zeros(1, 3, 6, 6)})


def test_example_inputs_that_do_not_fit_are_one_line() -> None:
    with pytest.raises(CutError) as error:
        expand(cut(Net()), torch.zeros(1, 4, 6, 6))
    assert str(error.value).startswith(
        "expand: expected networks that run in float64 on the example inputs, got an err"
    )
    assert "\n" not in str(error.value)


def test_a_network_that_was_changed_by_other_means_is_refused() -> None:
    smaller = cut(Net())
    smaller.extra = nn.Linear(2, 2)
    with pytest.raises(CutError) as error:
        expand(smaller)
    wanted = "no parameter or buffer that the uncut network did not have"
    assert str(error.value) == f"extra.weight: expected {wanted}, got one"
    smaller = cut(Net())
    smaller.last = nn.Conv2d(2, 7, 1)
    with pytest.raises(CutError) as error:
        expand(smaller)
    assert str(error.value) == "last.weight: expected shape (5, 4, 1, 1) once it is filled up, got (7, 4, 1, 1)"
    smaller.last = nn.Conv2d(3, 5, 1)
    with pytest.raises(CutError) as error:
        expand(smaller)
    assert str(error.value) == "last.weight: expected 2 entries along axis 1, got shape (5, 3, 1, 1)"


def test_what_is_made_in_inference_mode_can_be_trained() -> None:
    for model in (Net(), cut(Net())):
        with torch.inference_mode():
            whole = expand(model, torch.zeros(2, 3, 6, 6))
        whole(torch.rand(2, 3, 6, 6)).sum().backward()
        assert all(parameter.grad is not None for parameter in whole.parameters())
