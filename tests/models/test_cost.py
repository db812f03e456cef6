import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from windfirm.errors import InputError, TraceError
from windfirm.models.blueprint import Silence
from windfirm.models.cost import cost
from windfirm.models.registry import build

IMAGE = torch.zeros(1, 3, 32, 32)


def counted(model: nn.Module, example: Tensor) -> tuple[int, int]:
    found = cost(model, example)
    return found.macs, found.params


def test_resnet56_counted_by_hand() -> None:
    stem = 32 * 32 * 16 * 3 * 9
    stage1 = 18 * (32 * 32 * 16 * 16 * 9)
    stage2 = 16 * 16 * 32 * 16 * 9 + 17 * (16 * 16 * 32 * 32 * 9)
    stage3 = 8 * 8 * 64 * 32 * 9 + 17 * (8 * 8 * 64 * 64 * 9)
    linear = 64 * 10
    macs = stem + stage1 + stage2 + stage3 + linear
    assert macs == 125_485_696
    weights = 9 * (3 * 16 + 18 * 16 * 16 + 16 * 32 + 17 * 32 * 32 + 32 * 64 + 17 * 64 * 64)
    norms = 2 * (19 * 16 + 18 * 32 + 18 * 64)
    assert counted(build("resnet56"), IMAGE) == (macs, weights + norms + 64 * 10 + 10)


def test_mobilenet_v2_counted_by_hand() -> None:
    # Per block: channels in, expansion, channels out, side of the map before and after.
    blocks = [(32, 1, 16, 32, 32), (16, 6, 24, 32, 32), (24, 6, 24, 32, 32), (24, 6, 32, 32, 16)]
    blocks += 2 * [(32, 6, 32, 16, 16)] + [(32, 6, 64, 16, 8)] + 3 * [(64, 6, 64, 8, 8)]
    blocks += [(64, 6, 96, 8, 8)] + 2 * [(96, 6, 96, 8, 8)] + [(96, 6, 160, 8, 4)] + 2 * [(160, 6, 160, 4, 4)]
    blocks += [(160, 6, 320, 4, 4)]
    macs = 32 * 32 * 32 * 3 * 9 + 4 * 4 * 1280 * 320 + 1280 * 10
    params = 32 * 3 * 9 + 2 * 32 + 1280 * 320 + 2 * 1280 + 1280 * 10 + 10
    for before, expansion, after, side, side_after in blocks:
        wide = before * expansion
        macs += side**2 * before * wide + side_after**2 * wide * (9 + after)
        params += before * wide + wide * (9 + after) + 2 * (wide + wide + after)
        if side == side_after and before != after:  # the projection shortcut
            macs += side**2 * before * after
            params += before * after + 2 * after
    assert (macs, params) == (91_154_944, 2_296_922)
    assert counted(build("mobilenet-v2"), IMAGE) == (macs, params)


def test_vgg16_counted_by_hand() -> None:
    channels = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]
    sides = [32, 32, 16, 16, 8, 8, 8, 4, 4, 4, 2, 2, 2]
    pairs = list(zip(channels, channels[1:], sides, strict=False))
    macs = sum(9 * before * after * side**2 for before, after, side in pairs) + 512 * 10
    assert macs == 313_201_664
    params = sum(9 * before * after + 2 * after for before, after, _ in pairs) + 512 * 10 + 10
    assert counted(build("vgg16-bn"), IMAGE) == (macs, params)


class Functional(nn.Module):
    """A stranger's network: no layer is a module."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(8, 3, 3, 3))
        self.table = torch.zeros(8 * 16, 5)  # neither parameter nor buffer

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel, stride=2, padding=1).flatten(1) @ self.table + torch.ones(5)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.heads(x, x, x)[0]
        return mixed


@pytest.mark.parametrize(
    ("model", "shape", "macs", "params"),
    [
        (nn.Linear(7, 5), (1, 7), 7 * 5, 7 * 5 + 5),
        (nn.Linear(7, 5), (1, 4, 7), 4 * 7 * 5, 7 * 5 + 5),
        (nn.Conv2d(8, 12, 3, padding=1, groups=4), (1, 8, 6, 5), 6 * 5 * 12 * (8 // 4) * 9, 12 * 2 * 9 + 12),
        (nn.Conv2d(6, 6, 5, stride=2, groups=6), (1, 6, 9, 9), 3 * 3 * 6 * 25, 6 * 25 + 6),
        (nn.ConvTranspose2d(4, 2, 2, stride=2), (1, 4, 3, 3), 3 * 3 * 4 * 2 * 4, 4 * 2 * 4 + 2),
        (Functional(), (1, 3, 8, 8), 4 * 4 * 8 * 3 * 9 + 8 * 16 * 5, 8 * 3 * 9),
        (Attention(), (1, 5, 16), 4 * (5 * 16 * 16) + 2 * (5 * 5 * 16), 4 * (16 * 16 + 16)),
        (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2)), (1, 3, 4, 4), 0, 6),
    ],
)
def test_single_operations_counted_by_hand(model: nn.Module, shape: tuple[int, ...], macs: int, params: int) -> None:
    assert counted(model, torch.zeros(shape)) == (macs, params)
    assert cost(model, torch.zeros(3, *shape[1:])) == cost(model, torch.zeros(shape))  # per image, whatever the batch


def test_neither_the_model_nor_its_gradients_nor_its_mode_change() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten(), nn.Linear(4 * 4, 2))
    model[1].eval()
    model(torch.rand(2, 3, 4, 4)).sum().backward()
    before = copy.deepcopy(model.state_dict())
    gradients = [parameter.grad for parameter in model.parameters()]
    cost(model, torch.rand(2, 3, 4, 4))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is gradient for parameter, gradient in zip(model.parameters(), gradients, strict=True))
    assert [module.training for module in model] == [True, False, True, True, True]


def test_shared_weights_are_used_twice_and_counted_once() -> None:
    layer = nn.Linear(6, 6, bias=False)
    found = cost(nn.Sequential(layer, layer), torch.zeros(1, 6))
    assert (found.macs, found.params, found.param_bytes) == (2 * 36, 36, 4 * 36)


def test_parameters_take_as_many_bytes_as_their_type_says() -> None:
    assert cost(nn.Linear(7, 5), torch.zeros(1, 7)).param_bytes == 4 * 40
    assert cost(nn.Linear(7, 5).double(), torch.zeros(1, 7, dtype=torch.float64)).param_bytes == 8 * 40


class Residual(nn.Module):
    """The input waits for the end of the branch."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(2, 8, 1)
        self.back = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.back(self.wide(x).relu_()).view_as(x) + x  # type: ignore[no-any-return]


PIXELS = 6 * 6 * 4  # bytes of one channel


@pytest.mark.parametrize(
    ("model", "channels"),
    [
        (nn.Conv2d(2, 3, 1), 2 + 3),
        (nn.ReLU(inplace=True), 2),
        (nn.Flatten(), 2),
        # The image, held by the caller, and both ends of the widest layer.
        (nn.Sequential(nn.Conv2d(2, 3, 1), nn.Conv2d(3, 5, 1), nn.Conv2d(5, 1, 1)), 2 + 3 + 5),
        (nn.Sequential(nn.Conv2d(2, 5, 1), nn.ReLU(inplace=True), nn.Conv2d(5, 1, 1)), 2 + 5 + 1),
        (nn.Sequential(nn.Conv2d(2, 5, 1), nn.ReLU(), nn.Conv2d(5, 1, 1)), 2 + 5 + 5),
        (Residual(), 2 + 8 + 2),
        (nn.Sequential(nn.Conv2d(2, 2, 1), Residual()), 2 + 2 + 8 + 2),
        (Silence(), 2 + 2),
    ],
)
def test_the_peak_is_what_is_alive_at_once_by_hand(model: nn.Module, channels: int) -> None:
    assert cost(model, torch.zeros(3, 2, 6, 6)).peak_bytes == channels * PIXELS
    wide = cost(model.double(), torch.zeros(1, 2, 6, 6, dtype=torch.float64)).peak_bytes
    assert wide == 2 * (channels * PIXELS)


def test_weights_are_no_activations() -> None:
    # The image, the map that the table reads, and the five sums; the map is gone when the ones come.
    assert cost(Functional(), torch.zeros(1, 3, 8, 8)).peak_bytes == 4 * (3 * 8 * 8 + 8 * 4 * 4 + 5)


def test_an_example_that_does_not_fit_is_one_line() -> None:
    with pytest.raises(TraceError) as error:
        cost(nn.Linear(7, 5), torch.zeros(1, 6))
    cause = str(error.value.__cause__).partition("\n")[0]
    assert str(error.value) == f"cost: expected a network that runs on a meta tensor of shape (1, 6), got {cause}"


def test_an_empty_example_is_refused() -> None:
    with pytest.raises(InputError) as error:
        cost(nn.Linear(7, 5), torch.zeros(0, 7))
    assert str(error.value) == "cost: expected an example batch with at least one image, got shape (0, 7)"


def test_products_with_a_vector_and_of_three_count_and_there_may_be_several_inputs() -> None:
    class Products(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bilinear = nn.Bilinear(16, 16, 10)
            self.vector = nn.Parameter(torch.rand(16))

        def forward(self, a: Tensor, b: Tensor) -> Any:
            return self.bilinear(a, b) + (a @ self.vector)[:, None] + torch.dot(a[0], b[0])

    a, b = torch.rand(3, 16), torch.rand(3, 16)
    assert cost(Products(), (a, b)).macs == 16 * 16 * 10 + 16 + 16
    assert cost(Products(), {"b": b, "a": a}) == cost(Products(), (a, b))


def test_products_that_are_added_to_something_count() -> None:
    class Added(nn.Module):
        def forward(self, a: Tensor) -> Tensor:
            batch = a[0]
            matrix = batch[0]
            return torch.addmv(matrix[:, 0], matrix, matrix[0]).sum() + torch.addbmm(matrix, batch, batch.mT)

    assert cost(Added(), torch.rand(1, 3, 6, 6)).macs == 6 * 6 + 3 * 6 * 6 * 6


def test_a_parameter_that_a_layer_is_given_does_not_stand_in_the_way() -> None:
    """The class token of many transformers."""

    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.layer = nn.Parameter(torch.zeros(1, 3)), nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.layer(self.token.expand(len(x), -1)) + self.layer(x.mean((2, 3)))
            return out

    model = Token()
    assert cost(model, torch.zeros(2, 3, 4, 4)).macs == 12
    assert model.token.requires_grad
