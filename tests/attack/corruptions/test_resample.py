import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from tests.attack.corruptions.scenes import random_images
from windfirm.attack.corruptions.resample import Border, blur, correlate, motion, sample, zoom

#: Our borders by scipy's names.
SCIPY: dict[Border, str] = {"nearest": "nearest", "edge": "reflect", "mirror": "mirror"}


def close(got: Tensor, wanted: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(got.numpy(), wanted, rtol=0, atol=2e-6)


@pytest.mark.parametrize("border", SCIPY)
@pytest.mark.parametrize("shape", [(1, 5), (3, 1), (5, 3), (15, 9)])
def test_correlation_is_that_of_scipy_at_every_border(border: Border, shape: tuple[int, int]) -> None:
    images = random_images(2, 6, 5)
    kernel = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    wanted = ndimage.correlate(images.numpy(), kernel.numpy()[None, None], mode=SCIPY[border])
    np.testing.assert_allclose(correlate(images, kernel, border).numpy(), wanted, rtol=1e-5)


@pytest.mark.parametrize("border", SCIPY)
@pytest.mark.parametrize(("sigma", "truncate"), [(0.4, 4.0), (1.0, 4.0), (3.0, 3.0), (0.05, 4.0)])
def test_blur_is_that_of_scipy(border: Border, sigma: float, truncate: float) -> None:
    images = random_images(2, 9, 7)
    wanted = ndimage.gaussian_filter(images.numpy(), (0, 0, sigma, sigma), mode=SCIPY[border], truncate=truncate)
    close(blur(images, sigma, truncate, border), wanted)


@pytest.mark.parametrize("factor", [1.0, 1.06, 1.25, 2.25, 9.0])
@pytest.mark.parametrize("size", [7, 32])
def test_zoom_is_the_middle_of_what_scipy_enlarges(factor: float, size: int) -> None:
    images = random_images(2, size, size)
    part = int(np.ceil(size / factor))
    first = (size - part) // 2
    middle = images.numpy()[:, :, first : first + part, first : first + part]
    grown = ndimage.zoom(middle, (1, 1, factor, factor), order=1)
    cut = (grown.shape[-1] - size) // 2
    close(zoom(images, factor), grown[:, :, cut : cut + size, cut : cut + size])


@pytest.mark.parametrize(("border", "name"), [("edge", "reflect"), ("mirror", "mirror")])
def test_samples_are_those_of_scipy(border: str, name: str) -> None:
    images = random_images(2, 6, 9)
    numbers = torch.rand(2, 2, 6, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    rows, columns = 14 * numbers[0] - 4, 18 * numbers[1] - 5
    wanted = [
        [ndimage.map_coordinates(channel, [row, column], order=1, mode=name) for channel in image.numpy()]
        for image, row, column in zip(images, rows.numpy(), columns.numpy(), strict=True)
    ]
    close(sample(images, rows, columns, border), np.array(wanted))  # type: ignore[arg-type]


def test_a_point_in_motion_leaves_a_half_normal_trace() -> None:
    points = torch.zeros(4, 1, 15, 15)
    points[:, :, 7, 7] = 1
    traces = motion(points, 3, 1.5, torch.tensor([0.0, 90.0, 180.0, 45.0]))
    weights = torch.exp(-((torch.arange(7) / 1.5) ** 2) / 2)
    weights = weights / weights.sum()
    # A pixel reads what lies ahead of it along the angle, which counts from the right and downwards.
    torch.testing.assert_close(traces[0, 0, 7, 1:8], weights.flip(0))
    torch.testing.assert_close(traces[1, 0, 1:8, 7], weights.flip(0))
    torch.testing.assert_close(traces[2, 0, 7, 7:14], weights)
    steps = [int(np.ceil(i * np.cos(np.pi / 4) - 0.5)) for i in range(7)]
    for step in set(steps):
        share = sum(float(w) for w, s in zip(weights, steps, strict=True) if s == step)
        assert traces[3, 0, 7 - step, 7 - step].item() == pytest.approx(share, abs=1e-6)
    torch.testing.assert_close(traces.sum((1, 2, 3)), torch.ones(4))


def test_the_edge_goes_on_for_ever_in_a_motion() -> None:
    halves = torch.zeros(1, 1, 5, 8)
    halves[..., 4:] = 1
    moved = motion(halves, 20, 50.0, torch.tensor([0.0]))
    torch.testing.assert_close(moved[..., 4:], torch.ones(1, 1, 5, 4))
