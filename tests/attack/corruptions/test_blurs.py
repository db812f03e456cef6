import numpy as np
import pytest
import torch
from scipy import ndimage

from tests.attack.corruptions.scenes import painted, random_images, scene
from windfirm.attack.corruptions import KINDS, blurs

BLURS = [kind for kind in KINDS if kind.endswith("-blur")]


@pytest.mark.parametrize("kind", BLURS)
def test_an_even_picture_stays(kind: str) -> None:
    images = torch.tensor([0.2, 0.5, 0.9])[:, None, None].expand(2, 3, 32, 32)
    for severity in range(1, 6):
        torch.testing.assert_close(painted(kind, severity, images), images.contiguous())


@pytest.mark.parametrize(("severity", "sigma"), list(enumerate((0.4, 0.6, 0.7, 0.8, 1.0), 1)))
def test_gaussian_blur_is_that_of_scipy(severity: int, sigma: float) -> None:
    images = random_images()
    wanted = ndimage.gaussian_filter(images.numpy(), (0, 0, sigma, sigma), mode="nearest")
    np.testing.assert_allclose(painted("gaussian-blur", severity, images).numpy(), wanted, atol=2e-6)


@pytest.mark.parametrize("severity", range(1, 6))
def test_defocus_averages_over_a_soft_disk(severity: int) -> None:
    radius, alias = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))[severity - 1]
    y, x = np.mgrid[-8:9, -8:9]
    disk = (x**2 + y**2 <= radius**2).astype(float)
    kernel = ndimage.gaussian_filter(disk / disk.sum(), alias, truncate=1 / alias)  # 3×3 wide
    images = random_images()
    wanted = ndimage.correlate(images.numpy(), kernel[None, None], mode="mirror")
    np.testing.assert_allclose(painted("defocus-blur", severity, images).numpy(), wanted, atol=2e-6)


@pytest.mark.parametrize("times", [1, 2])
def test_glass_copies_a_neighbour_on_each_pixel_inside(times: int) -> None:
    images = random_images(2)
    glass = scene(images)
    wanted = images.clone()
    for time in range(times):
        moves = (2 * glass.uniform(f"glass {time}", 2, 32, 32)).long() - 1
        for i in range(2):  # in place, from the last pixel to the first
            for y in range(31, 1, -1):
                for x in range(31, 1, -1):
                    down, right = moves[i, :, y, x].tolist()
                    wanted[i, :, y, x] = wanted[i, :, y + down, x + right]
    assert torch.equal(blurs.glass_blur(glass, 0.0, 1, times), wanted)


def test_glass_reaches_further_in_larger_images() -> None:
    images = torch.arange(64.0).expand(1, 3, 64, 64) / 64  # each value tells its column
    moves = 64 * (blurs.glass_blur(scene(images, scale=2.0), 0.0, 1, 1) - images)
    assert set(moves[..., 3:63, 3:63].round().int().flatten().tolist()) == {-2, -1, 0, 1}


def test_zoom_blur_leaves_the_centre_and_stretches_the_rest() -> None:
    images = torch.zeros(1, 3, 33, 33)
    images[..., 16, 16] = 1
    blurred = [painted("zoom-blur", severity, images)[0, 0] for severity in range(1, 6)]
    assert all(result.argmax() == 16 * 33 + 16 for result in blurred)
    right = torch.zeros(1, 3, 33, 33)
    right[..., 30:] = 1
    lit = [(painted("zoom-blur", severity, right)[0, 0, 16] > 0.01).sum().item() for severity in range(1, 6)]
    assert lit == sorted(lit)


def test_motion_keeps_within_45_degrees() -> None:
    points = torch.zeros(200, 3, 33, 33)
    points[..., 16, 16] = 1
    traces = painted("motion-blur", 5, points)[:, 0]
    rows, columns = (torch.arange(33) - 16.0 for _ in range(2))
    down, across = (traces * rows[:, None]).sum((1, 2)), (traces * columns).sum((1, 2))
    angles = torch.rad2deg(torch.atan2(-down, -across))
    assert angles.abs().max() < 46.5  # places are whole pixels
    assert angles.min() < -35
    assert angles.max() > 35
