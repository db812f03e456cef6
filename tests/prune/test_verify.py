import copy
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import prune

from tests.oracles import cut_error
from tests.prune.nets import EXAMPLE, Net, lively, proved, random_cut
from windfirm.errors import CutError, InputError, TraceError
from windfirm.models.registry import build
from windfirm.models.shrink import Kept, shrink
from windfirm.prune.criteria import score
from windfirm.prune.cut import cut
from windfirm.prune.select import Cut
from windfirm.prune.structure import structures
from windfirm.prune.verify import verify

DIFFERENT = r"cut: expected the outputs of the silenced original within 1e-09, got a difference of [\d.e-]+"


def chain() -> Any:
    return lively(
        nn.Sequential(
            nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 5, 3), nn.ReLU(), nn.Conv2d(5, 3, 4)
        )
    )


def wrong(model: nn.Module, chosen: Cut, kept: Kept) -> str:
    smaller = copy.deepcopy(model)
    shrink(smaller, kept)
    with pytest.raises(CutError) as error:
        verify(model, smaller, chosen, EXAMPLE)
    return str(error.value)


def first_two(model: nn.Module) -> tuple[Cut, Kept]:
    """The cut of filters 0 and 1 of the first convolution."""
    chosen = Cut({structures(model, EXAMPLE)[0]: (0, 1)})
    return chosen, chosen.kept()


def test_the_right_cut_is_proved_and_its_error_told() -> None:
    model = chain()
    chosen, kept = first_two(model)
    smaller = cut(model, chosen, EXAMPLE)
    assert verify(model, smaller, chosen, EXAMPLE) < 1e-12
    assert cut_error(model, smaller, kept, [torch.randn(4, 2, 8, 8, dtype=torch.float64)]) < 1e-12


def counting(seen: set[int], step: Callable[[Tensor], Tensor]) -> Any:
    """Two convolutions and what is between them; ``seen`` are the numbers of images that were computed."""

    def run(m: Net, x: Tensor) -> Any:
        if not x.is_meta:
            seen.add(len(x))
        return m.b(step(m.a(x)))

    return lively(Net(run, a=nn.Conv2d(2, 4, 3), b=nn.Conv2d(4, 2, 1)))


#: Networks that want six images, or a multiple of three.
DEMANDING: dict[str, Callable[[Tensor], Tensor]] = {
    "six": lambda x: x.view(6, *x.shape[1:]),
    "triples": lambda x: (lambda y: (y - y.mean(1, keepdim=True)).flatten(0, 1))(x.view(-1, 3, *x.shape[1:])),
    "flattened": lambda x: x.reshape(6, -1).tanh().reshape(x.shape),
    "said": lambda x: x if len(x) == 6 else x[:, :1],
}


@pytest.mark.parametrize("how", [None, *DEMANDING])
@pytest.mark.parametrize("right", [True, False])
def test_two_images_prove_a_cut_and_all_where_two_do_not_do(how: str | None, right: bool) -> None:
    seen: set[int] = set()
    model = counting(seen, DEMANDING[how] if how else torch.tanh)
    many = EXAMPLE.expand(6, -1, -1, -1)
    chosen = Cut({next(s for s in structures(model, many) if s.name == "a"): (0, 1)})
    smaller = cut(model, chosen, many)
    assert seen == {2} or how
    assert cut_error(model, smaller, chosen.kept(), [torch.randn(6, 2, 8, 8, dtype=torch.float64)]) < 1e-12
    if not right:
        smaller.get_parameter("a.weight").data += 0.01
        with pytest.raises(CutError) as error:
            verify(model, smaller, chosen, many)
        assert re.fullmatch(DIFFERENT, str(error.value))


def test_a_way_that_many_images_alone_take_is_proved_on_many() -> None:
    model = counting(set(), lambda x: x * math.sqrt(x.shape[1]) if len(x) > 2 else x)
    many = EXAMPLE.expand(6, -1, -1, -1)
    with pytest.raises(CutError) as error:
        cut(model, Cut({next(s for s in structures(model, many) if s.name == "a"): (0, 1)}), many)
    assert re.fullmatch(DIFFERENT, str(error.value))


@pytest.mark.parametrize("tensor", ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"])
def test_one_tensor_cut_at_other_indices_is_refused(tensor: str) -> None:
    model = chain()
    chosen, kept = first_two(model)
    assert re.fullmatch(DIFFERENT, wrong(model, chosen, kept | {tensor: {0: [1, 3, 4]}}))


def test_a_consumer_cut_at_other_indices_is_refused() -> None:
    model = chain()
    chosen, kept = first_two(model)
    assert re.fullmatch(DIFFERENT, wrong(model, chosen, kept | {"3.weight": {1: [1, 2, 4]}}))


def test_kept_indices_in_another_order_are_refused() -> None:
    model = chain()
    chosen, kept = first_two(model)
    smaller = copy.deepcopy(model)
    shrink(smaller, kept)
    with torch.no_grad():
        smaller.get_parameter("0.weight").copy_(smaller.get_parameter("0.weight")[[1, 0, 2]].clone())
    with pytest.raises(CutError) as error:
        verify(model, smaller, chosen, EXAMPLE)
    assert re.fullmatch(DIFFERENT, str(error.value))


def test_other_units_than_the_cut_names_are_refused() -> None:
    model = chain()
    chosen, _ = first_two(model)
    other = Cut({next(iter(chosen.removed)): (0, 2)})
    assert re.fullmatch(DIFFERENT, wrong(model, chosen, other.kept()))


def test_a_bias_left_whole_is_refused() -> None:
    model = chain()
    chosen, kept = first_two(model)
    del kept["0.bias"]
    assert wrong(model, chosen, kept) == (
        "cut: expected a smaller network that runs, got an error in its forward pass: Given weight of size "
        "[3, 2, 3, 3], expected bias to be 1-dimensional with 3 elements, but got bias of size [5] instead"
    )


def test_outputs_of_other_shapes_are_refused() -> None:
    model = chain()
    chosen, kept = first_two(model)
    assert wrong(model, chosen, kept | {"5.weight": {0: [0, 1]}, "5.bias": {0: [0, 1]}}) == (
        "cut: expected outputs of shapes [(1, 3, 1, 1)], got [(1, 2, 1, 1)]"
    )


def test_a_frozen_structure_that_is_cut_nevertheless_is_refused() -> None:
    model = lively(Net(lambda m, x: m.b(m.a(x).tril()), a=nn.Conv2d(2, 4, 3), b=nn.Conv2d(4, 2, 3)))
    frozen = structures(model, EXAMPLE)[0]
    assert frozen.frozen == "no rule for aten.tril.default in the network"
    with pytest.raises(CutError):
        cut(model, Cut({frozen: (0,)}), EXAMPLE)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("first", [True, False])
def test_outputs_that_are_not_finite_prove_nothing(value: float, first: bool) -> None:
    def run(m: Net, x: Tensor) -> tuple[Tensor, Tensor]:
        y, bad = m.b(m.a(x)), x.sum() * value
        return (bad, y) if first else (y, bad)

    model = lively(Net(run, a=nn.Conv2d(2, 4, 3), b=nn.Conv2d(4, 2, 3)))
    with pytest.raises(CutError) as error:
        proved(model)
    assert str(error.value) == "cut: expected finite outputs on random inputs, got infinite or undefined ones"


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_no_output_hides_by_being_small_or_next_to_a_large_one(scale: float) -> None:
    def run(m: Net, x: Tensor) -> tuple[Tensor, Tensor]:
        return m.b(m.a(x)) * min(scale, 1.0), x * max(scale, 1.0)

    model = lively(Net(run, a=nn.Conv2d(2, 4, 3), b=nn.Conv2d(4, 2, 3)))
    chosen, kept = first_two(model)
    assert re.fullmatch(DIFFERENT, wrong(model, chosen, kept | {"b.weight": {1: [0, 3]}}))


def test_outputs_that_are_not_floating_point_are_compared_too() -> None:
    model = lively(
        Net(lambda m, x: (lambda y: {"y": y, "sign": y > 0, "best": y.argmax(1), "n": 3})(m.b(m.a(x))),
            a=nn.Conv2d(2, 4, 3), b=nn.Conv2d(4, 2, 3))
    )  # fmt: skip
    assert proved(model)[2] < 1e-12


@pytest.mark.parametrize("place", ["a parameter", "an output"])
def test_imaginary_parts_are_compared_too(place: str) -> None:
    weight = nn.Parameter(1j * torch.linspace(1, 2, 4, dtype=torch.float64)[:, None, None])
    run = (lambda m, x: m.b((m.a(x) * m.w).abs())) if place == "a parameter" else lambda m, x: m.b(m.a(x)) * 1j
    model = lively(Net(run, a=nn.Conv2d(2, 4, 3), b=nn.Conv2d(4, 2, 3), w=weight))
    chosen = random_cut(model)
    smaller = cut(model, chosen, EXAMPLE)
    wrong = smaller.get_parameter("w" if place == "a parameter" else "b.bias")
    wrong.data = wrong.data.flip(0)
    with pytest.raises(CutError, match=DIFFERENT):
        verify(model, smaller, chosen, EXAMPLE)


def test_tensors_that_are_plain_attributes_are_float64_as_well() -> None:
    layers = {"a": nn.Conv2d(2, 4, 3), "b": nn.Conv2d(4, 2, 3), "c": nn.Conv2d(2, 4, 3)}
    model = Net(lambda m, x: m.b(m.a(x)) + F.conv2d(m.c(x), m.k, padding=1), **layers)
    model.k = torch.rand(2, 4, 5, 5)  # a fixed filter that is not registered
    group = structures(model, EXAMPLE.float())[0]
    assert cut(model, Cut({group: (0, 2)}), EXAMPLE.float()).get_parameter("a.bias").shape == (2,)


def test_a_network_that_cannot_run_in_float64_is_refused() -> None:
    def run(m: Net, x: Tensor) -> Any:
        if x.dtype == torch.float64:
            raise TypeError("single precision alone")
        return m.b(m.a(x))

    with pytest.raises(CutError) as error:
        proved(Net(run, a=nn.Conv2d(2, 4, 3), b=nn.Conv2d(4, 2, 3)), EXAMPLE.float())
    got = "an error in its forward pass: single precision alone"
    assert str(error.value) == f"cut: expected a network that runs in float64, got {got}"


def test_a_network_that_cannot_be_copied_is_refused() -> None:
    model = lively(Net(lambda m, x: m.b(m.a(x)), a=nn.Conv2d(2, 4, 3), b=nn.Conv2d(4, 2, 3)))
    model.last = Lock()
    with pytest.raises(TraceError) as error:
        proved(model)
    assert str(error.value).startswith("Net: expected a network that can be copied, got cannot pickle")
    assert "\n" not in str(error.value)


def test_what_a_forward_pass_has_left_behind_does_not_stand_in_the_way() -> None:
    model = lively(Net(lambda m, x: m.b(m.a(x)), a=nn.Conv2d(2, 4, 3), b=nn.Conv2d(4, 2, 3)))
    model.last = {"a": [model.a(EXAMPLE)]}
    assert proved(model)[2] < 1e-9


def test_a_mask_of_pytorchs_stays_on_what_is_left() -> None:
    model = chain()
    prune.l1_unstructured(model[3], "weight", 0.5)  # type: ignore[no-untyped-call]
    smaller = cut(model, first_two(model)[0], EXAMPLE)
    prune.remove(model[3], "weight")  # type: ignore[no-untyped-call]
    x = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    assert torch.equal(smaller(x), cut(model, first_two(model)[0], EXAMPLE)(x))
    assert smaller.get_buffer("3.weight_mask").shape == (5, 3, 3, 3)


@pytest.mark.parametrize("units", [(-1,), (1, 1), (5,)])
def test_units_that_there_are_not_are_refused(units: tuple[int, ...]) -> None:
    model = chain()
    with pytest.raises(CutError, match="0: expected different units from 0 to 4, got"):
        cut(model, Cut({structures(model, EXAMPLE)[0]: units}), EXAMPLE)


def test_what_is_no_cut_is_refused_in_one_line() -> None:
    with pytest.raises(InputError) as error:
        cut(nn.Conv2d(2, 4, 3), {}, EXAMPLE)  # type: ignore[call-overload]
    assert str(error.value) == "cut: expected a Cut, as windfirm.select makes one, got dict"


def test_a_cut_of_another_network_is_refused() -> None:
    chosen, _ = first_two(chain())
    wider = lively(nn.Sequential(nn.Conv2d(2, 9, 3), nn.BatchNorm2d(9), nn.ReLU(), nn.Conv2d(9, 5, 3)))
    with pytest.raises(CutError) as error:
        cut(wider, chosen, EXAMPLE)
    wanted = "0: expected 5 along axis 0 of 0.weight, got a network where it is of shape (9, 2, 3, 3)"
    assert str(error.value) == wanted


@pytest.mark.parametrize("arch", ["resnet20", "mobilenet-v2"])
def test_built_in_networks_equal_their_silenced_originals(arch: str) -> None:
    model = lively(build(arch))
    example = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    chosen = random_cut(model, example, 0.5, seed=1)
    assert chosen.units > 100
    smaller = cut(model, chosen, example)
    inputs = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    wanted = model(inputs).abs().max().item()
    assert cut_error(model, smaller, chosen.kept(), [inputs]) < 1e-9 * max(wanted, 1)


@dataclass(frozen=True)
class Plan:
    """A network as data: layers by kind and width, how it ends, and the seed of its weights and of the cut."""

    layers: tuple[tuple[str, int], ...]
    end: str
    seed: int
    ratio: float


KINDS = (
    "conv",
    "plain",
    "residual",
    "branches",
    "depthwise",
    "grouped",
    "pool",
    "twice",
    "gate",
    "pad",
    "halves",
    "view",
)


class Planned(nn.Module):
    """The network of a plan; runs of layers may disagree about shapes on no input."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.steps = nn.ModuleList()
        width, size = 2, 8
        for kind, out in plan.layers:
            if kind in ("conv", "branches", "plain"):
                self.steps.append(self._conv(width, out, kind != "plain"))
                if kind == "branches":
                    self.steps[-1] = nn.Sequential(self.steps[-1], self._conv(width, 2, True))
                    out += 2
                width = out
            elif kind in ("depthwise", "grouped"):
                groups = width if kind == "depthwise" or width % 2 else 2
                self.steps.append(nn.Conv2d(width, width, 3, padding=1, groups=groups))
            elif kind in ("residual", "gate"):
                self.steps.append(self._conv(width, width, kind == "residual"))
            else:
                self.steps.append(nn.Identity())
                width = 2 * width if kind == "twice" else width + 1 if kind == "pad" else width
                size = max(1, size // 2) if kind == "pool" else size
        self.last = nn.Linear(width * size * size if plan.end == "flatten" else width, 3)

    def _conv(self, i: int, o: int, norm: bool) -> nn.Sequential:
        body = nn.Conv2d(i, o, 3, padding=1, bias=not norm)
        return nn.Sequential(body, nn.BatchNorm2d(o)) if norm else nn.Sequential(body)

    def forward(self, x: Tensor) -> Tensor:
        for (kind, _), step in zip(self.plan.layers, self.steps, strict=True):
            if kind in ("conv", "plain"):
                x = F.relu(step(x), inplace=True)
            elif kind == "branches":
                x = torch.cat([F.relu(step[0](x)), step[1](x)], 1)  # type: ignore[index]
            elif kind == "residual":
                x = F.relu(x + step(x))
            elif kind == "gate":
                x = x * step(x).mean((2, 3), keepdim=True).sigmoid()
            elif kind == "pool":
                x = F.max_pool2d(x, 2) if x.shape[-1] > 1 else x
            elif kind == "twice":
                x = torch.cat([x, x * 0.5], 1)
            elif kind == "pad":
                x = F.pad(x, (0, 0, 0, 0, 1, 0))
            elif kind == "halves":
                x = torch.cat([x[:, 1:], x[:, :1]], 1)
            elif kind == "view":
                b, c, h, w = x.shape
                x = x.view(b, c, h * w).transpose(1, 2).reshape(b, h, w, c).permute(0, 3, 1, 2)
            else:
                x = step(x)
        out: Tensor = self.last(x.flatten(1) if self.plan.end == "flatten" else x.mean((2, 3)))
        return out


plans = st.builds(
    Plan,
    st.lists(st.tuples(st.sampled_from(KINDS), st.integers(2, 6)), min_size=2, max_size=6).map(tuple),
    st.sampled_from(("flatten", "mean")),
    st.integers(0, 1000),
    st.floats(0.3, 0.9),
)


@settings(max_examples=80, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(plans)
def test_every_cut_of_every_planned_network_is_proved(plan: Plan) -> None:
    model = lively(Planned(plan), plan.seed)
    smaller, chosen, error = proved(model, ratio=plan.ratio, seed=plan.seed)  # no size is fixed, so none is refused
    scale = float(model(EXAMPLE + 1).detach().abs().max())
    assert error < 1e-9 * max(1.0, scale)
    assert (sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in model.parameters())) == bool(
        chosen.units
    )


def test_tokens_that_a_convolution_looked_at_as_a_map() -> None:
    """A convolution may lay out its result as its input is, and a linear layer takes another way then."""

    def run(m: Net, x: Tensor) -> Tensor:
        tokens = m.a(m.s(x).flatten(2).transpose(1, 2))
        maps = m.d(tokens.transpose(1, 2).view(-1, len(m.d.weight), 8, 8))
        logits: Tensor = m.b(nn.functional.gelu(maps.flatten(2).transpose(1, 2)))
        return logits

    layers = {"s": nn.Conv2d(2, 4, 1), "a": nn.Linear(4, 6), "d": nn.Conv2d(6, 6, 3, padding=1, groups=6)}
    model = lively(Net(run, **layers, b=nn.Linear(6, 3)))
    *_, error = proved(model, torch.rand(2, 2, 8, 8, dtype=torch.float64))
    assert error < 1e-9
    images = torch.rand(4, 2, 8, 8, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    free = structures(model, images[:1])
    assert len(score("expected-abs", model, free, [(images, torch.arange(4))])) == 2


class Wild(nn.Module):
    """Turns the last digit of large numbers into another output, and hardly does anything to small ones."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x**8)


def test_inputs_on_whose_last_digit_the_outputs_hang_prove_nothing() -> None:
    model = lively(nn.Sequential(nn.Conv2d(2, 5, 1), Wild(), nn.Conv2d(5, 3, 1)))
    with torch.no_grad():
        model[0].weight.copy_(torch.linspace(-0.5, 0.5, 10).view(5, 2, 1, 1))
    chosen, kept = first_two(model)
    smaller = copy.deepcopy(model)
    shrink(smaller, kept)
    with torch.no_grad():
        smaller[0].weight.mul_(1 + 2**-52)  # as another order of summation does
    assert verify(model, smaller, chosen, EXAMPLE) < 1e-9
    with torch.no_grad():
        smaller[0].weight[0] = model[0].weight[0]  # one that had left
    with pytest.raises(CutError, match=DIFFERENT):
        verify(model, smaller, chosen, EXAMPLE)
