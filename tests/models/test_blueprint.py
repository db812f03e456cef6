import copy
import json
from threading import Lock
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from windfirm.errors import CutError
from windfirm.models.blueprint import Blueprint, Silence, Skip, Zero, apply, blueprint_of, origin_of, set_sizes
from windfirm.models.shrink import Kept


class Window(nn.Module):
    """Holds sizes as a number, a list, a tuple and a torch.Size, and things that only look like sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 4
        self.split = [2, 2]
        self.shape = (4, 1)
        self.size = torch.Size((4, 4))
        self.name = "four"
        self.scale = 0.5
        self.causal = True
        self.mixed = (4, 0.5)
        self.seen: int | None = None
        self.register_parameter("bias", None)

    @property
    def width(self) -> int:
        return 2 * self.heads


class Block(nn.Module):
    """A residual branch of two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 1)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv(x))  # type: ignore[no-any-return]


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.first = Block()
        self.second = Block()
        self.window = Window()

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(self.stem(x)))  # type: ignore[no-any-return]


def state(model: nn.Module) -> dict[str, Any]:
    """Everything that apply could change: modules by path, their plain attributes, tensors by identity."""
    plain = {
        path: {key: value for key, value in vars(module).items() if not key.startswith("_")}
        for path, module in model.named_modules()
    }
    return copy.deepcopy(plain) | {
        "kinds": [(path, str(module)) for path, module in model.named_modules()],
        "tensors": [(name, id(tensor)) for name, tensor in (*model.named_parameters(), *model.named_buffers())],
    }


def test_a_network_that_was_never_cut_has_an_empty_blueprint_and_no_origin() -> None:
    model = Toy()
    apply(model, Blueprint())
    assert blueprint_of(model) == Blueprint()
    assert not blueprint_of(model)
    assert origin_of(model) is None


def test_a_residual_branch_that_ends_in_silence_leaves_its_input_as_it_is() -> None:
    model = Toy().eval()
    x = torch.rand(2, 3, 5, 5)
    wanted = model.second(model.stem(x))
    apply(model, Blueprint(replaced={"first.conv": "skip", "first.norm": "silence"}))
    assert torch.equal(model(x), wanted)
    assert [type(module) for module in model.first.children()] == [Skip, Silence]
    assert not list(model.first.parameters())


def test_stand_ins_take_any_further_arguments_and_silence_can_be_added_to_in_place() -> None:
    x = torch.rand(2, 3)
    assert Skip()(x, 1, mask=None) is x
    assert Skip()(anything=x, mask=None) is x
    zeros = Silence()(x, mask=None)
    assert torch.equal(zeros, torch.zeros(2, 3))
    assert torch.equal(zeros.add_(x), x)
    assert torch.equal(x.double() + Zero()(mask=x.double()), x.double())


@pytest.mark.parametrize(
    ("layer", "kept", "widths"),
    [
        (nn.Conv2d(8, 8, 1, groups=4), {0: [0, 1, 6, 7]}, (4, 4)),
        (nn.Conv2d(4, 8, 1, groups=4), {0: [0, 1, 6, 7]}, (2, 4)),
        (nn.ConvTranspose2d(8, 8, 1, groups=4), {0: [0, 1, 6, 7]}, (4, 4)),
        (nn.ConvTranspose2d(4, 8, 1, groups=4), {0: [0, 3]}, (2, 4)),
    ],
)
def test_a_layer_without_some_of_its_groups_states_the_widths_that_it_has(
    layer: nn.Conv2d, kept: dict[int, list[int]], widths: tuple[int, int]
) -> None:
    model = nn.Sequential(layer)
    apply(model, Blueprint({"0.weight": kept, "0.bias": {0: [0, 1, 6, 7]}}, {"0.groups": 2}))
    assert (layer.in_channels, layer.out_channels) == widths
    assert layer(torch.rand(1, widths[0], 2, 2)).shape[1] == widths[1]


def test_sizes_keep_their_type() -> None:
    model = Toy()
    sizes: dict[str, int | list[int]] = {
        "window.heads": 3,
        "window.split": [1, 2],
        "window.shape": [3, 1],
        "window.size": [3, 3],
    }
    apply(model, Blueprint(attributes=sizes))
    window = model.window
    assert (window.heads, window.split, window.shape, window.size) == (3, [1, 2], (3, 1), torch.Size((3, 3)))
    assert type(window.size) is torch.Size
    assert blueprint_of(model).attributes == sizes


def test_what_two_cuts_keep_is_told_in_the_numbers_of_the_first_network() -> None:
    model: Any = nn.Sequential(nn.Conv2d(3, 6, 1))
    weight = model[0].weight.detach().clone()
    apply(model, Blueprint({"0.weight": {0: [0, 2, 3, 5]}, "0.bias": {0: [0, 2, 3, 5]}}))
    apply(model, Blueprint({"0.weight": {0: [1, 3], 1: [2]}}))
    assert blueprint_of(model).kept == {"0.weight": {0: [2, 5], 1: [2]}, "0.bias": {0: [0, 2, 3, 5]}}
    assert torch.equal(model[0].weight, weight[[2, 5]][:, [2]])


def test_the_origin_has_the_shapes_from_before_the_first_cut_and_no_memory() -> None:
    model = Toy()
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    apply(model, Blueprint({"stem.weight": {0: [0, 1]}}))
    apply(model, Blueprint(replaced={"second": "skip"}))
    origin = origin_of(model)
    assert origin is not None
    assert {name: tensor.shape for name, tensor in origin.state_dict().items()} == shapes
    assert {tensor.device.type for tensor in origin.state_dict().values()} == {"meta"}
    assert set(model.state_dict()) < set(shapes)  # the memory is no part of the network
    assert origin_of(copy.deepcopy(model)) is not None


def test_what_lay_inside_a_layer_that_left_is_forgotten() -> None:
    model = Toy()
    apply(model, Blueprint({"first.conv.weight": {0: [0]}}, {"first.conv.stride": [2, 2]}, {"first.norm": "skip"}))
    apply(model, Blueprint({"stem.weight": {0: [0]}}, {"window.heads": 1}, {"first": "skip"}))
    assert blueprint_of(model) == Blueprint({"stem.weight": {0: [0]}}, {"window.heads": 1}, {"first": "skip"})


def test_one_blueprint_may_name_what_lies_inside_a_layer_that_it_removes() -> None:
    model = Toy()
    inside = Blueprint(
        {"first.conv.weight": {0: [0]}}, {"first.conv.stride": [2, 2]}, {"first": "skip", "first.conv": "silence"}
    )
    apply(model, inside)
    assert blueprint_of(model) == Blueprint(replaced={"first": "skip"})
    assert not list(model.first.children())


def test_a_shared_tensor_stays_small_when_the_module_under_its_first_name_leaves() -> None:
    def shared() -> nn.Module:
        model = Toy()
        model.second.conv.weight = model.first.conv.weight
        return model

    model = shared()
    apply(model, Blueprint({"first.conv.weight": {0: [1, 2]}}))
    apply(model, Blueprint({"second.conv.weight": {0: [1]}}, replaced={"first": "skip"}))
    fresh = shared()
    apply(fresh, blueprint_of(model))
    assert fresh.get_parameter("second.conv.weight").shape == model.get_parameter("second.conv.weight").shape
    assert blueprint_of(fresh).kept == {"second.conv.weight": {0: [2]}}


def test_a_fresh_network_becomes_the_small_one_by_way_of_json() -> None:
    model = Toy().eval()
    shapes: Kept = {"stem.weight": {1: [0, 2]}, "first.conv.weight": {0: [1], 1: [0, 3]}}
    apply(model, Blueprint(shapes, {"window.heads": 2, "window.shape": [1, 2]}, {"second.norm": "silence"}))
    again = Blueprint.from_json(json.loads(json.dumps(blueprint_of(model).to_json())))
    assert again == blueprint_of(model)
    fresh = Toy().eval()
    apply(fresh, again)
    fresh.load_state_dict(model.state_dict())
    assert fresh.window.shape == (1, 2)
    assert [str(module) for module in fresh.modules()] == [str(module) for module in model.modules()]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"kept": {}, "attributes": {}},
        {"kept": [], "attributes": {}, "replaced": {}},
        {"kept": {"w": {"zero": [1]}}, "attributes": {}, "replaced": {}},
        {"kept": {"w": {"0": [True]}}, "attributes": {}, "replaced": {}},
        {"kept": {}, "attributes": {"a": 1.5}, "replaced": {}},
        {"kept": {}, "attributes": {"a": ["1"]}, "replaced": {}},
    ],
)
def test_json_that_describes_no_blueprint_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        Blueprint.from_json(values)


WRONG = [
    (Blueprint(replaced={"third": "skip"}), "third: expected a module of the network, got none of that name"),
    (Blueprint(replaced={"": "skip"}), ": expected a module of the network, got none of that name"),
    (Blueprint(replaced={"stem": "noise"}), "stem: expected skip or silence or zero in its place, got noise"),
    (Blueprint(attributes={"window.tails": 1}), "window.tails: expected an attribute of the network, got none of that"),
    (Blueprint(attributes={"door.heads": 1}), "door.heads: expected an attribute of the network, got none of that"),
    (Blueprint(attributes={"window.width": 1}), "window.width: expected an attribute that can be set, got a property"),
    (Blueprint(attributes={"window.heads": [1]}), "window.heads: expected a size like [1], got 4"),
    (Blueprint(attributes={"window.split": 1}), "window.split: expected a size like 1, got [2, 2]"),
    (Blueprint(attributes={"window.split": [1]}), "window.split: expected a size like [1], got [2, 2]"),
    (Blueprint(attributes={"window.name": [1] * 4}), "window.name: expected a size like [1, 1, 1, 1], got 'four'"),
    (Blueprint(attributes={"window.scale": 1}), "window.scale: expected a size like 1, got 0.5"),
    (Blueprint(attributes={"window.causal": 1}), "window.causal: expected a size like 1, got True"),
    (Blueprint(attributes={"window.seen": [1]}), "window.seen: expected a size like [1], got None"),
    (Blueprint(attributes={"window.bias": 1}), "window.bias: expected a size like 1, got None"),
    (Blueprint(attributes={"window.mixed": [1, 1]}), "window.mixed: expected a size like [1, 1], got (4, 0.5)"),
    (Blueprint({"stem.weights": {0: [0]}}), "stem.weights: expected a parameter or buffer of the network, got none"),
    (Blueprint({"stem.weight": {0: [0, 4]}}), "stem.weight: expected ascending indices below 4 along axis 0, got [0,"),
]


@pytest.mark.parametrize(("wrong", "message"), WRONG)
def test_what_the_network_does_not_have_is_refused_before_anything_changes(wrong: Blueprint, message: str) -> None:
    model = Toy()
    sound: Blueprint = Blueprint({"stem.bias": {0: [0]}}, {"window.shape": [1, 1]}, {"first": "skip"})
    blueprint = Blueprint(sound.kept | wrong.kept, sound.attributes | wrong.attributes, sound.replaced | wrong.replaced)
    before = state(model)
    with pytest.raises(CutError) as error:
        apply(model, blueprint)
    assert str(error.value).startswith(message)
    assert state(model) == before
    assert (blueprint_of(model), origin_of(model)) == (Blueprint(), None)


def test_a_shared_tensor_cannot_keep_different_indices_under_its_names() -> None:
    model = Toy()
    model.second.conv.weight = model.first.conv.weight
    with pytest.raises(CutError) as error:
        apply(model, Blueprint({"first.conv.weight": {0: [0]}, "second.conv.weight": {0: [1]}}))
    assert str(error.value).endswith("expected the same indices under all its names, [0], got [1]")
    assert model.first.conv.weight.shape == (4, 4, 1, 1)


def test_a_shared_module_cannot_have_different_stand_ins_under_its_names() -> None:
    model = Toy()
    model.last = model.second
    with pytest.raises(CutError) as error:
        apply(model, Blueprint(replaced={"second": "skip", "last": "zero"}))
    assert str(error.value) == "last: expected skip in its place, as under its other names, got zero"
    assert model.last is model.second
    apply(model, Blueprint(replaced={"last": "skip"}))
    assert blueprint_of(model).replaced == {"second": "skip", "last": "skip"}


def test_a_network_without_length_is_remembered_as_well() -> None:
    class Hollow(nn.Conv2d):
        def __len__(self) -> int:
            return 0

    model = Hollow(3, 4, 1)
    apply(model, Blueprint({"weight": {0: [0, 1, 2]}}))
    apply(model, Blueprint({"weight": {0: [0, 1]}}))
    origin = origin_of(model)
    assert origin is not None
    assert origin.get_parameter("weight").shape == (4, 3, 1, 1)


def test_a_network_that_cannot_be_copied_is_refused_in_one_line() -> None:
    model: Any = Toy()
    model.held = Lock()
    with pytest.raises(CutError) as error:
        apply(model, Blueprint({"stem.bias": {0: [0]}}))
    assert str(error.value).startswith("Toy: expected a network that can be copied, got ")
    assert "\n" not in str(error.value)


def test_set_sizes_gives_one_attribute_a_new_value() -> None:
    window = Window()
    set_sizes(window, "shape", [9, 8])
    assert window.shape == (9, 8)


def test_a_size_that_the_first_forward_pass_takes_down_is_not_there_in_a_fresh_network() -> None:
    model = Toy()
    apply(model, Blueprint({"stem.bias": {0: [0]}}, {"window.seen": 1}))
    assert model.window.seen == 1
