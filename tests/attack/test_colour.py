import colorsys

import pytest
import torch
from torch import Tensor

from tests.oracles import turned
from windfirm.attack.colour import hsv_to_rgb, rgb_to_hsv
from windfirm.attack.semantic import recolour
from windfirm.errors import InputError


@pytest.fixture
def images() -> Tensor:
    """Random colours, and a row each of greys, black, white, and colours with two equal channels."""
    images = torch.rand(3, 3, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    images[0, :, 0] = torch.linspace(0, 1, 4, dtype=torch.float64)
    images[1, :, 0] = 0
    images[1, :, 1] = 1
    images[2, 0] = images[2, 1]
    return images


def test_conversion_to_hsv_agrees_with_colorsys(images: Tensor) -> None:
    pixels = images.permute(0, 2, 3, 1).reshape(-1, 3)
    converted = rgb_to_hsv(images).permute(0, 2, 3, 1).reshape(-1, 3)
    truth = torch.tensor([colorsys.rgb_to_hsv(*pixel) for pixel in pixels.tolist()], dtype=torch.float64)
    torch.testing.assert_close(converted, truth, rtol=0, atol=1e-12)


def test_conversion_from_hsv_agrees_with_colorsys(images: Tensor) -> None:
    pixels = images.permute(0, 2, 3, 1).reshape(-1, 3)
    converted = hsv_to_rgb(images).permute(0, 2, 3, 1).reshape(-1, 3)
    truth = torch.tensor([colorsys.hsv_to_rgb(*pixel) for pixel in pixels.tolist()], dtype=torch.float64)
    torch.testing.assert_close(converted, truth, rtol=0, atol=1e-12)


@pytest.mark.parametrize("turns", [-1.0, 0.0, 1.0, 2.0])
def test_full_hue_turns_change_nothing(images: Tensor, turns: float) -> None:
    torch.testing.assert_close(recolour("semantic", images, torch.full((3, 1), turns)), images, rtol=0, atol=1e-12)


def test_a_third_of_a_turn_rotates_the_channels(images: Tensor) -> None:
    third = torch.full((3, 1), 1 / 3, dtype=torch.float64)
    torch.testing.assert_close(recolour("semantic", images, third), images.roll(1, 1), rtol=0, atol=1e-12)


def test_hue_and_saturation_shifts_agree_with_colorsys(images: Tensor) -> None:
    turns, more = torch.tensor([[[0.2], [0.5], [0.9]], [[-0.3], [0.0], [0.6]]], dtype=torch.float64)
    changed = recolour("semantic", images, turns, more)
    for image, result, turn, saturation in zip(images, changed, turns, more, strict=True):
        truth = turned(image, turn.item(), saturation.item())
        torch.testing.assert_close(result, truth, rtol=0, atol=1e-12)


def test_colours_need_three_channels() -> None:
    with pytest.raises(InputError) as error:
        recolour("semantic-grid", torch.zeros(2, 1, 8, 8), torch.zeros(2, 1))
    assert str(error.value) == "semantic-grid: expected RGB images (b, 3, h, w), got (2, 1, 8, 8)"
