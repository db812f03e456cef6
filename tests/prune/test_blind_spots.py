"""Where an output says little about what goes on inside, the proof has to look closer."""

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.prune.nets import EXAMPLE, Net, lively
from windfirm.errors import CutError
from windfirm.prune.cut import cut
from windfirm.prune.select import Cut
from windfirm.prune.structure import structures

DIFFERENT = r"cut: expected the outputs of the silenced original within 1e-09, got a difference of [\d.e+-]+"
LEAST = float(torch.finfo(torch.float32).min)


def gate(y: Tensor) -> Tensor:
    """How many channels there are weighs each of them: nothing that labels or shapes would tell."""
    return y * math.sqrt(y.shape[1])


def without(model: nn.Module, units: tuple[int, ...], example: Tensor = EXAMPLE) -> nn.Module:
    return cut(model, Cut({next(s for s in structures(model, example) if s.name == "a"): units}), example)


@pytest.mark.parametrize("value", [0.0, -1e9, LEAST, -math.inf])
def test_a_wrong_cut_does_not_hide_beside_masked_outputs(value: float) -> None:
    def run(m: Net, x: Tensor) -> Any:
        return m.b(gate(m.a(x))).masked_fill(x[:, :1] < 0.5, value)

    model = lively(Net(run, a=nn.Conv2d(2, 4, 3, padding=1), b=nn.Conv2d(4, 1, 1)))
    with pytest.raises(CutError) as error:
        without(model, (1, 3))
    assert re.fullmatch(DIFFERENT, str(error.value))


@pytest.mark.parametrize("value", [-1e9, LEAST])
def test_nor_beside_outputs_that_a_mask_is_added_to(value: float) -> None:
    def run(m: Net, x: Tensor) -> Any:
        return m.b(gate(m.a(x))) + value * (x[:, :1] < 0.9)

    model = lively(Net(run, a=nn.Conv2d(2, 4, 3, padding=1), b=nn.Conv2d(4, 1, 1)))
    with pytest.raises(CutError) as error:
        without(model, (1, 3))
    assert re.fullmatch(DIFFERENT, str(error.value))


@pytest.mark.parametrize("value", [-1e9, LEAST, -math.inf])
def test_masked_outputs_are_no_reason_to_refuse_a_right_cut(value: float) -> None:
    def run(m: Net, x: Tensor) -> Any:
        return m.b(m.a(x).relu()).masked_fill(x[:, :1] < 0.5, value)

    model = lively(Net(run, a=nn.Conv2d(2, 4, 3, padding=1), b=nn.Conv2d(4, 1, 1)))
    assert without(model, (1, 3)).get_parameter("a.weight").shape[0] == 2


def test_outputs_that_are_nothing_but_rounding_are_no_reason_either() -> None:
    def run(m: Net, x: Tensor) -> Any:
        y = m.b(m.a(x).relu())
        return torch.cat([y, (y + x[:, :1]) - x[:, :1] - y], 1)

    model = lively(Net(run, a=nn.Conv2d(2, 4, 3, padding=1), b=nn.Conv2d(4, 1, 1)))
    assert without(model, (1, 3)).get_parameter("a.weight").shape[0] == 2


@pytest.mark.parametrize("zero", ["n.weight", "b.weight"])
def test_a_branch_that_adds_nothing_yet_is_proved_for_the_time_when_it_does(zero: str) -> None:
    def run(m: Net, x: Tensor) -> Any:
        return m.head(x + m.n(m.b(gate(m.a(x)))))

    layers = {"a": nn.Conv2d(2, 4, 3, padding=1), "b": nn.Conv2d(4, 2, 1, bias=False), "n": nn.BatchNorm2d(2)}
    model = lively(Net(run, **layers, head=nn.Conv2d(2, 3, 1)))
    nn.init.zeros_(model.get_parameter(zero))
    with pytest.raises(CutError) as error:
        without(model, (1, 3))
    assert re.fullmatch(DIFFERENT, str(error.value))
    assert not model.get_parameter(zero).any()


@pytest.mark.parametrize("shape", [(), (1,), (1, 2, 1, 1)])
@pytest.mark.parametrize("kept", [nn.Parameter, nn.Buffer])
def test_so_is_a_branch_that_code_fades_in_by_a_number_that_is_zero_yet(kept: Any, shape: tuple[int, ...]) -> None:
    def run(m: Net, x: Tensor) -> Any:
        return m.head(x + m.alpha * m.b(gate(m.a(x))))

    layers = {"a": nn.Conv2d(2, 4, 3, padding=1), "b": nn.Conv2d(4, 2, 1), "head": nn.Conv2d(2, 3, 1)}
    model = lively(Net(run, **layers, alpha=kept(torch.ones(shape))))
    model.alpha.data.zero_()
    with pytest.raises(CutError) as error:
        without(model, (1, 3))
    assert re.fullmatch(DIFFERENT, str(error.value))
    assert not model.alpha.any()


@pytest.mark.parametrize("name", ["running_mean", "mask", "offset", "unread"])
def test_zeros_that_have_a_meaning_are_no_reason_to_refuse_a_right_cut(name: str) -> None:
    """A mean of what was seen, a mask in which some may speak, something that is added, and what nobody reads."""

    def run(m: Net, x: Tensor) -> Any:
        y = m.a(x) - m.running_mean
        return m.b((y + m.offset).relu()).masked_fill(m.mask == 0, -1e9)

    buffers = {each: nn.Buffer(torch.zeros(1, 1, 8, 8)) for each in ("running_mean", "mask", "offset", "unread")}
    model = lively(Net(run, a=nn.Conv2d(2, 4, 3, padding=1), b=nn.Conv2d(4, 1, 1), **buffers))
    getattr(model, name).zero_()
    model.mask[..., :4] = 0
    assert without(model, (1, 3)).get_parameter("a.weight").shape[0] == 2


def test_an_example_of_empty_bytes_stands_for_other_bytes() -> None:
    def run(m: Net, x: Tensor) -> Any:
        return m.b(gate(m.a(x.double() / 255)))

    model = lively(Net(run, a=nn.Conv2d(2, 4, 3, bias=False), b=nn.Conv2d(4, 2, 1, bias=False)))
    with pytest.raises(CutError) as error:
        without(model, (1, 3), EXAMPLE.byte())
    assert re.fullmatch(DIFFERENT, str(error.value))


@pytest.mark.parametrize(
    "less",
    [
        lambda y: y.float(),
        lambda y: y.type(torch.float32),
        lambda y: y + torch.zeros(1, 4, 1, 1),
        lambda y: y * torch.tensor([1.0, 2.0, 3.0]).sum(),
        lambda y: y.softmax(2, dtype=torch.float32),
    ],
)
def test_single_precision_in_the_code_is_no_reason_to_refuse(less: Any) -> None:
    """The networks of a test are double precision; as they come, in single precision, their own code suits them."""
    layers = {"a": nn.Conv2d(2, 6, 3), "b": nn.Conv2d(6, 4, 3), "c": nn.Conv2d(4, 2, 3)}
    model = lively(Net(lambda m, x: m.c(less(m.b(m.a(x).relu()))), **layers)).float()
    assert without(model, (1, 3), EXAMPLE.float()).get_parameter("a.weight").shape[0] == 4
    with torch.no_grad():
        model.get_parameter("b.weight").zero_()
    assert without(model, (1, 3), EXAMPLE.float()).get_parameter("a.weight").shape[0] == 4
