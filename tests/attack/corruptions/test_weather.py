import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.attack.corruptions.scenes import painted, random_images, scene
from windfirm.attack.corruptions import weather
from windfirm.attack.corruptions.weather import plasma


def slow_plasma(noise: NDArray[np.float64], decay: float) -> NDArray[np.float64]:
    """Diamond-square, one point at a time."""
    n = len(noise)
    known = {(0, 0): 0.0}
    step, size = n, 1.0
    while step > 1:
        half = step // 2
        centres = [(y, x) for y in range(half, n, step) for x in range(half, n, step)]
        sides = [(y, x) for y in range(0, n, half) for x in range(0, n, half) if (y // half + x // half) % 2]
        for points, ways in (
            (centres, [(-half, -half), (-half, half), (half, -half), (half, half)]),
            (sides, [(-half, 0), (half, 0), (0, -half), (0, half)]),
        ):
            new = {
                (y, x): np.mean([known[(y + a) % n, (x + b) % n] for a, b in ways]) + size * noise[y, x]
                for y, x in points
            }
            known.update(new)
        step, size = half, size / decay**2
    heights = np.array([[known[y, x] for x in range(n)] for y in range(n)])
    scaled: NDArray[np.float64] = (heights - heights.min()) / (heights.max() - heights.min())
    return scaled


@pytest.mark.parametrize("decay", [1.25, 3.0])
def test_the_fractal_is_that_of_a_point_by_point_diamond_square(decay: float) -> None:
    noise = 2 * torch.rand(2, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 1
    heights = plasma(noise, decay)
    for got, numbers in zip(heights, noise, strict=True):
        np.testing.assert_allclose(got.numpy(), slow_plasma(numbers.numpy(), decay), atol=1e-12)


def test_a_fractal_of_one_point_is_flat() -> None:
    assert plasma(torch.ones(1, 1, 1), 2.0).tolist() == [[[0.0]]]


def test_fog_brightens_by_the_haze_and_keeps_the_brightest_value() -> None:
    images = random_images(2)
    misty = scene(images, "fog")
    haze = plasma(2 * misty.uniform("fractal", 32, 32) - 1, 2.0).float()[:, None]
    brightest = torch.stack([image.max() for image in images])[:, None, None, None]
    wanted = (images + haze) * brightest / (brightest + 1)
    torch.testing.assert_close(painted("fog", 4, images), wanted)
    assert (painted("fog", 4, images).amax((1, 2, 3)) <= brightest.flatten()).all()


def test_frost_lies_over_a_darker_image() -> None:
    black, white = torch.zeros(1, 3, 32, 32), torch.ones(1, 3, 32, 32)
    for severity, (keep, add) in enumerate(((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)), 1):
        ice = painted("frost", severity, black)
        torch.testing.assert_close(painted("frost", severity, white) - ice, keep * white)
        assert 0.2 * 0.85 * add * 0.999 <= ice.min()
        assert ice.max() <= add * 1.001
        assert (ice[:, 2] >= ice[:, 0]).all()  # bluish
        assert ice.std() > 0.1 * add  # and not even


def snowed(images: Tensor, *, clear: float = 1.0, threshold: float = 0.6) -> Tensor:
    return weather.snow(scene(images), 0.1, 0.2, 1, threshold, 8, 3, clear)


def test_snow_falls_on_the_picture_and_does_not_darken_it() -> None:
    images = random_images(20) / 2
    fallen = snowed(images) - images
    assert fallen.min() > -1e-6
    torch.testing.assert_close(fallen[:, :1].expand_as(fallen), fallen)  # flakes have no colour
    torch.testing.assert_close(fallen, fallen.flip(2, 3))  # once upright and once upside down
    assert 0.001 < fallen.mean() < 0.1
    assert snowed(images, threshold=0.3).mean() > snowed(images).mean()


def test_without_flakes_only_pale_colours_are_left() -> None:
    images = random_images(2)
    grey = images.numpy().transpose(0, 2, 3, 1) @ np.array([0.299, 0.587, 0.114], np.float32)
    pale = np.maximum(images.numpy(), 1.5 * grey[:, None] + 0.5)
    wanted = 0.8 * images.numpy() + 0.2 * pale
    np.testing.assert_allclose(snowed(images, clear=0.8, threshold=9.0).numpy(), wanted, atol=1e-6)


def test_snow_falls_steeply() -> None:
    fallen = snowed(torch.zeros(50, 3, 32, 32), threshold=0.3)[:, 0]
    down = (fallen[:, 1:] - fallen[:, :-1]).abs().mean()
    across = (fallen[:, :, 1:] - fallen[:, :, :-1]).abs().mean()
    assert down < 0.8 * across  # smoother along the way of the fall
