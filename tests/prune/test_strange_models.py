"""Models and inputs that are not what a pruner is written for: each is cut right, or refused in one line that helps.

Where a user would expect the cut to work it must; where there are two honest answers, ``answers`` takes either, and
what a refusal must then name. Whatever comes back is compared by the oracle of tests/silence.py.
"""

import copy
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.prune import l1_unstructured

from tests.prune.nets import Net, lively
from tests.silence import error
from windfirm.errors import WindfirmError
from windfirm.models.blueprint import blueprint_of
from windfirm.models.checkpoint import load, save
from windfirm.models.copies import copied
from windfirm.prune.schedule import prune
from windfirm.prune.structure import structures

EXAMPLE = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def small() -> Any:
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    return lively(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)))


def half(model: nn.Module, example: Any = EXAMPLE) -> Any:
    return prune(model, example, ratio=0.5, ranking="per-layer")


def right(model: nn.Module, smaller: nn.Module, *inputs: Tensor) -> bool:
    """It is smaller, and in float64 and eval mode it computes what the silenced original does."""
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in model.parameters())
    original, smaller = copied(model).double().eval(), copied(smaller).double().eval()
    return error(original, smaller, inputs or (torch.randn_like(EXAMPLE),)) < 1e-9


def refusal(act: Callable[[], object]) -> str:
    """The message of the error that ``act`` raises: ours, one line, with what was expected and what it got."""
    with pytest.raises(WindfirmError) as caught:
        act()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 500
    assert ": expected " in message
    return message


def answers(model: nn.Module, names: str, example: Any = EXAMPLE) -> None:
    """A right cut, or a refusal that names one of the words in ``names`` (parted by ``|``)."""
    try:
        smaller = half(model, example)
    except WindfirmError:
        message = refusal(lambda: half(model, example))
        assert any(name in message for name in names.split("|")), message
    else:
        assert right(model, smaller)


# ---------------------------------------------------------------- wrappers


def test_data_parallel_is_opened_or_the_refusal_says_how() -> None:
    answers(nn.DataParallel(small()), ".module")


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_is_opened_or_the_refusal_says_how() -> None:
    compiled = torch.compile(small(), backend="eager")
    assert isinstance(compiled, nn.Module)
    answers(compiled, "._orig_mod")


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A process group of one."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("alone")
@pytest.mark.filterwarnings("ignore")
def test_distributed_data_parallel_is_opened_or_the_refusal_says_how() -> None:
    answers(nn.parallel.DistributedDataParallel(small()), ".module")


# ---------------------------------------------------------------- devices and precision


def test_a_tensor_on_another_device_is_named() -> None:
    model = small()
    model[3].to("meta")
    message = refusal(lambda: half(model))
    assert "meta" in message
    assert "3.weight" in message


def test_a_model_without_data_still_shows_its_structures() -> None:
    found = structures(small().to("meta"), EXAMPLE)
    assert [s.size for s in found if s.frozen is None] == [8, 8]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_precision_stays_and_the_cut_is_right(dtype: torch.dtype) -> None:
    layers = [nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ReLU()]
    model: Any = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)).eval()
    for tensor in model.parameters():  # exact in every precision, and no two of one tensor equal
        steps = torch.arange(1.0, tensor.numel() + 1)
        tensor.data = ((steps * (-1) ** steps if tensor.ndim > 1 else steps) / 64).view(tensor.shape)
    model = model.to(dtype)
    smaller = half(model, EXAMPLE.to(dtype))
    assert {p.dtype for p in smaller.parameters()} == {dtype}
    assert {p.dtype for p in model.parameters()} == {dtype}
    assert right(model, smaller)


def test_the_example_may_have_another_precision_than_the_model_or_the_refusal_says_so() -> None:
    answers(small().float(), "float32|float64|double|Float|Double")


@pytest.mark.parametrize(
    "around",
    [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16), torch.enable_grad],
    ids=["no_grad", "inference_mode", "autocast", "enable_grad"],
)
def test_what_the_caller_has_entered_does_not_matter(around: Callable[[], Any]) -> None:
    model = small()
    with around():
        smaller = half(model)
    assert right(model, smaller)
    smaller.train()(EXAMPLE).sum().backward()  # no tensor that gradients refuse


def test_the_callers_default_precision_does_not_matter() -> None:
    model = small()
    torch.set_default_dtype(torch.bfloat16)
    try:
        smaller = half(model)
    finally:
        torch.set_default_dtype(torch.float32)
    assert right(model, smaller)


# ---------------------------------------------------------------- state of the model


def test_training_mode_statistics_and_gradients_are_left_as_they_were() -> None:
    model = small().train()
    model[0].weight.requires_grad_(False)
    model(EXAMPLE).sum().backward()
    before = copy.deepcopy(model.state_dict())
    gradient = model[3].weight.grad.clone()
    smaller = half(model)
    assert model.training
    assert smaller.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(model[3].weight.grad, gradient)
    assert not smaller[0].weight.requires_grad
    assert smaller[3].weight.requires_grad
    assert smaller[3].weight.grad is None
    assert right(model, smaller)


def test_hooks_that_watch_stay_on_both_models() -> None:
    model, seen = small(), []
    model[1].register_forward_hook(lambda _m, _i, output: seen.append(tuple(output.shape)))
    smaller = half(model)
    seen.clear()
    model(EXAMPLE), smaller(EXAMPLE)
    assert seen == [(2, 8, 8, 8), (2, 4, 8, 8)]


def test_hooks_that_change_values_are_part_of_the_function() -> None:
    model = small()
    model[1].register_forward_hook(lambda _m, _i, output: output * 3)
    model[3].register_forward_pre_hook(lambda _m, inputs: (inputs[0] + 1,))
    assert right(model, half(model))


def test_a_hook_that_reads_values_works_or_is_told() -> None:
    model, means = small(), []
    model[1].register_forward_hook(lambda _m, _i, output: means.append(float(output.mean())))
    answers(model, "values|Sequential")


def test_a_hook_that_keeps_activations_on_the_module_works_or_is_told() -> None:
    model = small()
    model[1].register_forward_hook(lambda module, _i, output: setattr(module, "seen", output))
    model(EXAMPLE)  # what it keeps now is no leaf, which deepcopy does not take
    answers(model, "copied")


# ---------------------------------------------------------------- parts that are not plain modules


@pytest.mark.filterwarnings("ignore")
def test_a_scripted_part_works_or_is_told() -> None:
    model = small()
    model[2] = torch.jit.script(nn.ReLU())
    answers(model, "script|Script")


@pytest.mark.filterwarnings("ignore")
def test_a_scripted_convolution_works_or_is_told() -> None:
    model = small()
    model[0] = torch.jit.script(model[0])
    answers(model, "script|Script|0.weight")


@pytest.mark.filterwarnings("ignore")
def test_a_traced_model_works_or_is_told() -> None:
    traced = torch.jit.trace(small(), EXAMPLE)  # type: ignore[no-untyped-call]
    answers(traced, "script|Script|traced|copied")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "wrap",
    [
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        nn.utils.weight_norm,
        # Of one weight, as the oracle knows weights by their numbers.
        lambda layer: l1_unstructured(layer, "weight", amount=1),  # type: ignore[no-untyped-call]
    ],
    ids=["weight_norm", "spectral_norm", "old weight_norm", "mask"],
)
def test_a_weight_that_is_computed_works_or_is_told(wrap: Callable[[nn.Module], nn.Module]) -> None:
    """The function, not the stored parameters, decides: what the layers computed with before is what they keep."""
    model = small()
    model[3] = wrap(model[3])
    try:
        smaller = half(model)
    except WindfirmError:
        assert refusal(lambda: half(model))
        return
    with torch.no_grad():
        plain, plain_smaller = _baked(model), _baked(smaller)
    assert right(plain, plain_smaller)


def _baked(model: Any) -> Any:
    """A plain network with the weights that ``model`` computes with now."""
    plain: Any = copied(model)
    with torch.no_grad():
        model.eval()(EXAMPLE)  # a mask or an old weight_norm computes its weight in the forward pass
    weight = model[3].weight.detach().clone()
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, dtype=torch.float64)
    layer.weight, layer.bias = nn.Parameter(weight), nn.Parameter(model[3].bias.detach().clone())
    plain[3] = layer
    return plain.eval()


@pytest.mark.filterwarnings("ignore")
def test_a_layer_without_its_weights_yet_is_told() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.Conv2d(4, 2, 3))
    message = refusal(lambda: half(model.double()))
    assert "0.weight" in message or "Lazy" in message or "uninitialized" in message


def test_tensors_that_are_no_parameters_are_followed_or_keep_their_channels_whole() -> None:
    model = Net(lambda m, x: m.head((m.conv(x) * m.scale).mean((2, 3))), conv=nn.Conv2d(3, 8, 3), head=nn.Linear(8, 2))
    model = lively(model)
    model.scale = torch.linspace(1, 2, 8, dtype=torch.float64)[:, None, None]  # not registered
    answers(model, "filters|scale|conv")


def test_tensors_in_lists_and_dicts_are_seen() -> None:
    def run(m: Any, x: Tensor) -> Tensor:
        out: Tensor = m.head((m.conv(x) + m.shifts["grid"] + m.levels[0][0]).relu().mean((2, 3)))
        return out

    model = lively(Net(run, conv=nn.Conv2d(3, 8, 3), head=nn.Linear(8, 2)))
    model.shifts, model.levels = {"grid": torch.rand(6, 6).double()}, [(torch.rand(1, 1, 6, 6).double(),)]
    assert right(model, half(model))


def test_an_instance_norm_without_parameters_knows_its_width() -> None:
    model = small()
    model[1] = nn.InstanceNorm2d(8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as users run it: in these tests a warning is an error, and so a wrong width
        smaller: Any = half(model)
    assert smaller[1].num_features == 4
    assert blueprint_of(smaller).attributes == {"1.num_features": 4}
    assert right(model, smaller)


@pytest.mark.parametrize("number", [int, np.int64, np.int32])
def test_a_size_that_a_module_holds_may_be_a_number_of_numpys(number: Any, tmp_path: Path) -> None:
    def run(m: Any, x: Tensor) -> Tensor:
        a, b = m.conv(x).split(m.parts, 1)
        out: Tensor = m.head(torch.cat([a.relu(), b], 1).view(len(x), m.width, -1).mean(2))
        return out

    def made() -> Any:
        model = lively(Net(run, conv=nn.Conv2d(3, 8, 3), head=nn.Linear(8, 2)))
        model.width, model.parts = number(8), [number(4), number(4)]
        return model

    model = made()
    smaller: Any = half(model)
    assert smaller.width == sum(smaller.parts) == 4
    assert right(model, smaller)
    save(smaller, tmp_path / "half.safetensors")
    assert load(tmp_path / "half.safetensors", made).width == 4


def test_one_module_under_two_names() -> None:
    model = small()
    model.add_module("again", model[3])
    model.forward = lambda x: model[7](model[6](model[5](model.again(model[3](model[2](model[1](model[0](x))))))))
    answers(model, "copied|forward|filters")


# ---------------------------------------------------------------- what the forward pass does


class Branching(nn.Module):
    """Goes one way or the other, as the image has it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Any:
        y = self.a(x) if x.sum() > 0 else self.b(x)
        return self.head(y.relu().mean((2, 3)))


def test_a_branch_that_depends_on_the_data_is_told() -> None:
    message = refusal(lambda: half(lively(Branching())))
    assert "values" in message
    assert "Branching" in message


def test_a_forward_pass_with_its_own_randomness_is_never_called_proved() -> None:
    run = lambda m, x: m.head(torch.dropout(m.conv(x).relu(), 0.5, True).mean((2, 3)))  # noqa: E731
    model = lively(Net(run, conv=nn.Conv2d(3, 8, 3), head=nn.Linear(8, 2)))
    refusal(lambda: half(model))


def test_a_forward_pass_that_counts_its_calls() -> None:
    """A buffer that every call changes, and that the result depends on."""

    def run(m: Any, x: Tensor) -> Any:
        m.calls += 1
        return m.head(m.conv(x).relu().mean((2, 3))) * m.calls

    model = lively(Net(run, conv=nn.Conv2d(3, 8, 3), head=nn.Linear(8, 2)))
    model.register_buffer("calls", torch.zeros((), dtype=torch.float64))
    answers(model, "calls|difference|filters")
    assert int(model.calls) == 0


def test_a_forward_pass_that_raises_is_quoted() -> None:
    def run(m: Any, x: Tensor) -> Any:
        raise KeyError("no such thing\nand a second line")

    message = refusal(lambda: half(Net(run, conv=nn.Conv2d(3, 8, 3))))
    assert "no such thing" in message


@pytest.mark.parametrize("result", [None, 3, "text", (), {}])
def test_a_result_without_a_tensor_is_told(result: object) -> None:
    message = refusal(lambda: half(Net(lambda m, x: result, conv=nn.Conv2d(3, 8, 3))))
    assert "outputs that are tensors" in message


def test_weights_that_are_not_numbers_are_told() -> None:
    model = small()
    with torch.no_grad():
        model[0].weight[2, 1, 0, 0] = float("nan")
    message = refusal(lambda: half(model))
    assert "finite" in message


def test_a_network_with_nothing_to_remove_is_told() -> None:
    message = refusal(lambda: half(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)).double()))
    assert "filters that can go" in message


# ---------------------------------------------------------------- the example inputs


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (2, 3, 8), (3, 0, 8, 8), (0, 3, 8, 8)])
def test_an_example_of_the_wrong_shape_is_told(shape: tuple[int, ...]) -> None:
    message = refusal(lambda: half(small(), torch.zeros(shape, dtype=torch.float64)))
    assert "Sequential" in message
    assert str(shape) in message or str(list(shape)) in message


@pytest.mark.parametrize("example", [None, 3, "image", np.zeros((2, 3, 8, 8)), [[1.0, 2.0]], (), object()])
def test_an_example_that_is_no_tensor_is_told(example: object) -> None:
    message = refusal(lambda: half(small(), example))
    assert "example" in message


def test_too_many_examples_are_told() -> None:
    refusal(lambda: half(small(), (EXAMPLE, EXAMPLE)))


def test_whole_numbers_in_place_of_images_are_told() -> None:
    refusal(lambda: half(small(), torch.zeros(2, 3, 8, 8, dtype=torch.uint8)))


def test_a_model_that_is_no_module_is_told() -> None:
    not_a_model: Any = lambda x: x  # noqa: E731
    message = refusal(lambda: half(not_a_model))
    assert "Module" in message


class InPlace(nn.Module):
    """Normalises its input where it lies."""

    def __init__(self) -> None:
        super().__init__()
        self.body = small()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x.sub_(0.5).div_(0.25))  # type: ignore[no-any-return]


def test_a_network_that_changes_its_input_in_place_is_pruned_and_the_example_stays() -> None:
    example = EXAMPLE.clone()
    model = InPlace().double()
    assert right(model, half(model, example))
    assert torch.equal(example, EXAMPLE)


def test_a_number_that_happens_to_be_the_old_width_stays() -> None:
    class Scaled(nn.Module):
        def __init__(self, width: int, scale: int) -> None:
            super().__init__()
            self.scale, self.width = scale, width

        def forward(self, x: Tensor) -> Tensor:
            return torch.sigmoid(x.flatten(2) / self.scale).view(len(x), self.width, 8, 8)

    layers = [nn.Conv2d(3, 8, 3, padding=1), Scaled(8, 8), nn.Conv2d(8, 4, 1), nn.Flatten(), nn.Linear(256, 4)]
    model = lively(nn.Sequential(*layers))
    smaller = half(model)
    assert right(model, smaller)
    assert (smaller[0].out_channels, smaller[1].width, smaller[1].scale) == (4, 4, 8)


class Remembering(nn.Conv2d):
    """Keeps what it computed from its weights until it is trained, as some attention keeps its biases."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__(channels_in, channels, 1)
        self.known: dict[str, Tensor] = {}

    def train(self, mode: bool = True) -> "Remembering":
        if mode:
            self.known = {}
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        if str(x.device) not in self.known:
            self.known[str(x.device)] = self.weight * 2
        return nn.functional.conv2d(x, self.known[str(x.device)], self.bias)


def test_what_a_network_remembers_of_its_weights_is_forgotten_with_the_cut() -> None:
    model = lively(nn.Sequential(nn.Conv2d(3, 4, 1), Remembering(4, 4), nn.Conv2d(4, 2, 1))).eval()
    image = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        model(image)  # now it remembers
    smaller = prune(model, image, ratio=0.5, ranking="per-layer")
    assert error(model, smaller, [image]) < 1e-9
    assert not smaller.training
