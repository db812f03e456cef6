import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adafactor, Adam, Optimizer
from torch.optim.lr_scheduler import StepLR

from windfirm.errors import InputError
from windfirm.models.blueprint import Blueprint, apply
from windfirm.models.shrink import Kept
from windfirm.prune.carry import carry

KEPT: Kept = {"0.weight": {0: [0, 2]}, "0.bias": {0: [0, 2]}, "2.weight": {1: [0, 2]}}

MAKERS: dict[str, Callable[[Any], Optimizer]] = {
    "momentum": lambda parameters: SGD(parameters, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda parameters: Adam(parameters, lr=0.01, amsgrad=True),
}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))


def steps(model: nn.Module, optimizer: Optimizer, count: int) -> None:
    for number in range(count):
        x = torch.rand(5, 3, generator=torch.Generator().manual_seed(number))
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()


def cut(model: nn.Module, blueprint: Blueprint) -> nn.Module:
    smaller = copy.deepcopy(model)
    apply(smaller, blueprint)
    for parameter in smaller.parameters():
        parameter.grad = None
    return smaller


def by_hand(name: str, tensor: Tensor) -> Tensor:
    """A state tensor cut by plain indexing."""
    if tensor.ndim == 0:
        return tensor.clone()
    return tensor[[0, 2]] if name.startswith("0.") else tensor[:, [0, 2]] if name == "2.weight" else tensor.clone()


@pytest.mark.parametrize("kind", MAKERS)
def test_the_next_step_is_that_of_an_optimizer_whose_memory_was_cut_by_hand(kind: str) -> None:
    model = network()
    optimizer = MAKERS[kind](model.parameters())
    steps(model, optimizer, 3)
    smaller, twin = cut(model, Blueprint(KEPT)), cut(model, Blueprint(KEPT))
    carried = carry(optimizer, model, smaller, KEPT)
    wanted = MAKERS[kind](twin.parameters())
    for (name, old), new in zip(model.named_parameters(), twin.parameters(), strict=True):
        wanted.state[new] = {key: by_hand(name, value) for key, value in optimizer.state[old].items()}
    assert type(carried) is type(optimizer)
    before = [p.detach().clone() for p in model.parameters()]
    for _ in range(2):
        steps(smaller, carried, 1)
        steps(twin, wanted, 1)
        assert all(torch.equal(a, b) for a, b in zip(smaller.parameters(), twin.parameters(), strict=True))
    forgetful = cut(model, Blueprint(KEPT))
    steps(forgetful, MAKERS[kind](forgetful.parameters()), 2)
    assert not torch.equal(forgetful.get_parameter("0.weight"), smaller.get_parameter("0.weight"))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))


def test_groups_keep_their_options_and_lose_what_left() -> None:
    model = network()
    groups = [
        {"params": [("0.weight", model[0].weight), ("2.weight", model[2].weight)], "lr": 0.1},  # type: ignore[index]
        {"params": [("0.bias", model[0].bias)], "weight_decay": 0.5},  # type: ignore[index]
    ]
    optimizer = SGD(groups, lr=0.2, momentum=0.9)
    StepLR(optimizer, 1)
    steps(model, optimizer, 1)
    smaller: Any = cut(model, Blueprint(replaced={"0": "skip"}))
    carried = carry(optimizer, model, smaller, {})
    first, second = carried.param_groups
    assert (first["params"], second["params"]) == ([smaller[2].weight], [])
    assert (first["param_names"], second["param_names"]) == (["2.weight"], [])
    assert (first["lr"], second["weight_decay"], second["initial_lr"]) == (0.1, 0.5, 0.2)
    assert list(carried.state) == [smaller[2].weight]
    smaller[2].weight.grad = torch.ones(2, 4)
    before = smaller[2].weight.detach().clone()
    carried.step()  # its own, not the one that the schedule wrapped
    assert not torch.equal(smaller[2].weight, before)
    first["lr"] = 7.0
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_a_shared_weight_goes_by_any_of_its_names() -> None:
    model: Any = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    steps(model, optimizer, 1)
    blueprint = Blueprint({"1.weight": {0: [1, 2]}}, replaced={"0": "skip"})
    smaller: Any = cut(model, blueprint)
    carried = carry(optimizer, model, smaller, blueprint.kept)
    momentum = carried.state[smaller[1].weight]["momentum_buffer"]
    assert torch.equal(momentum, optimizer.state[model[0].weight]["momentum_buffer"][[1, 2]])


def test_factored_state_keeps_the_axes_that_it_has_summed_over() -> None:
    model = network()
    optimizer = Adafactor(model.parameters())
    steps(model, optimizer, 1)
    smaller: Any = cut(model, Blueprint(KEPT))
    carried = carry(optimizer, model, smaller, KEPT)
    assert {key: tuple(value.shape) for key, value in carried.state[smaller[0].weight].items()} == {
        "step": (),
        "row_var": (2, 1),
        "col_var": (1, 3),
    }
    steps(smaller, carried, 1)


def test_an_optimizer_that_has_not_stepped_yet_carries_its_options() -> None:
    model = network()
    smaller = cut(model, Blueprint(KEPT))
    carried = carry(SGD(model.parameters(), lr=0.3, momentum=0.9), model, smaller, KEPT)
    assert (carried.param_groups[0]["lr"], dict(carried.state)) == (0.3, {})
    steps(smaller, carried, 1)


def test_what_cannot_be_carried_is_refused() -> None:
    model, other = network(), network()
    smaller = cut(model, Blueprint(KEPT))
    with pytest.raises(InputError) as error:
        carry(SGD(other.parameters(), lr=0.1), model, smaller, KEPT)
    wanted = "expected parameters of the network before the cut, got one of shape (4, 3) that is none"
    assert str(error.value) == f"optimizer: {wanted}"
    with pytest.raises(InputError) as error:
        carry(LBFGS(model.parameters()), model, smaller, KEPT)
    wanted = "expected one that remembers each parameter in its state, got more in its attribute _params"
    assert str(error.value) == f"LBFGS: {wanted}"
    with pytest.raises(InputError) as error:
        carry(SGD(model.parameters(), lr=0.1), model, smaller, {})
    assert str(error.value) == "0.weight: expected shape (4, 3) after the cut, got (2, 3)"
    optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimizer.state[model.get_parameter("0.weight")]["odd"] = torch.zeros(12)
    with pytest.raises(InputError) as error:
        carry(optimizer, model, smaller, KEPT)
    assert str(error.value) == "0.weight, odd: expected state shaped like its parameter, (4, 3), got (12,)"
