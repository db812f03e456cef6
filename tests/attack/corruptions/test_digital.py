import colorsys
import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from tests.attack.corruptions.scenes import painted, random_images, scene, smooth_images
from windfirm.attack.corruptions import digital

Colour = tuple[float, float, float]


def recoloured(images: Tensor, change: Callable[[float, float, float], Colour]) -> Tensor:
    """Every pixel through the standard library's colorsys."""
    pixels = images.permute(0, 2, 3, 1).reshape(-1, 3).tolist()
    changed = [colorsys.hsv_to_rgb(*change(*colorsys.rgb_to_hsv(*pixel))) for pixel in pixels]
    return torch.tensor(changed).view(len(images), *images.shape[2:], 3).permute(0, 3, 1, 2)


@pytest.mark.parametrize(("severity", "more"), list(enumerate((0.05, 0.1, 0.15, 0.2, 0.3), 1)))
def test_brightness_adds_to_the_value(severity: int, more: float) -> None:
    images = random_images(1, 8, 8)
    wanted = recoloured(images, lambda h, s, v: (h, s, min(v + more, 1)))
    torch.testing.assert_close(painted("brightness", severity, images), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("severity", "factor", "more"), [(1, 0.3, 0.0), (2, 0.1, 0.0), (3, 1.5, 0.0), (4, 2.0, 0.1), (5, 2.5, 0.2)]
)
def test_saturation_is_multiplied_and_added_to(severity: int, factor: float, more: float) -> None:
    images = random_images(1, 8, 8)
    wanted = recoloured(images, lambda h, s, v: (h, min(factor * s + more, 1), v))
    torch.testing.assert_close(painted("saturate", severity, images), wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("severity", "factor"), list(enumerate((0.75, 0.5, 0.4, 0.3, 0.15), 1)))
def test_contrast_draws_each_channel_towards_its_mean(severity: int, factor: float) -> None:
    images = random_images()
    means = images.numpy().mean((2, 3), keepdims=True)
    wanted = means + factor * (images.numpy() - means)
    np.testing.assert_allclose(painted("contrast", severity, images).numpy(), wanted, atol=1e-6)


def picture(image: Tensor) -> Image.Image:
    return Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy())


@pytest.mark.parametrize(("severity", "share"), list(enumerate((0.95, 0.9, 0.85, 0.75, 0.65), 1)))
def test_pixelate_is_a_box_filter_there_and_back(severity: int, share: float) -> None:
    images = random_images(2)
    side = int(32 * share)
    for image, got in zip(images, painted("pixelate", severity, images), strict=True):
        box = picture(image).resize((side, side), Image.Resampling.BOX).resize((32, 32), Image.Resampling.BOX)
        assert np.array_equal(np.asarray(picture(got)), np.asarray(box))


@pytest.mark.parametrize(("severity", "quality"), list(enumerate((80, 65, 58, 50, 40), 1)))
def test_jpeg_is_a_file_of_its_quality(severity: int, quality: int) -> None:
    images = smooth_images(2)
    for image, got in zip(images, painted("jpeg", severity, images), strict=True):
        file = io.BytesIO()
        picture(image).save(file, "JPEG", quality=quality)
        assert np.array_equal(np.asarray(picture(got)), np.asarray(Image.open(file)))


def test_elastic_without_strength_and_map_changes_nothing() -> None:
    images = random_images(2, 12, 17)
    torch.testing.assert_close(digital.elastic(scene(images), 0, 0, 0), images)


def test_the_affine_map_takes_three_corners_where_it_says() -> None:
    images = smooth_images(3)
    bent = scene(images)
    got = digital.elastic(bent, 0, 0, 0.08)
    moves = 0.08 * 32 * (2 * bent.uniform("affine", 3, 2).numpy() - 1)
    corners = np.array([[26.0, 26.0], [26.0, 6.0], [6.0, 6.0]])  # (x, y): ten pixels around the middle (16, 16)
    for image, result, move in zip(images, got, moves, strict=True):
        # x' = a x + b y + c for each coordinate, from where a pixel is to where it comes from.
        system = np.hstack([corners + move, np.ones((3, 1))])
        back = np.linalg.inv(system) @ corners
        y, x = np.mgrid[:32, :32]
        from_x, from_y = np.moveaxis(np.stack([x, y, np.ones((32, 32))], -1) @ back, -1, 0)
        wanted = [ndimage.map_coordinates(c, [from_y, from_x], order=1, mode="mirror") for c in image.double().numpy()]
        np.testing.assert_allclose(result.numpy(), np.array(wanted), atol=1e-5)


def test_the_field_displaces_by_smoothed_noise() -> None:
    images = smooth_images(2)
    bent = scene(images)
    got = digital.elastic(bent, 0.08, 0.06, 0)
    fields = 2 * bent.uniform("field", 2, 32, 32).numpy() - 1
    y, x = np.mgrid[:32, :32]
    for image, result, field in zip(images, got, fields, strict=True):
        right, down = (0.08 * 32 * ndimage.gaussian_filter(f, 0.06 * 32, mode="reflect", truncate=3) for f in field)
        wanted = [
            ndimage.map_coordinates(c, [y + down, x + right], order=1, mode="reflect") for c in image.double().numpy()
        ]
        np.testing.assert_allclose(result.numpy(), np.array(wanted), atol=1e-5)
