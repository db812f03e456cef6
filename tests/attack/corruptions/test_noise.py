from itertools import pairwise

import pytest
import torch
from scipy import stats

from tests.attack.corruptions.scenes import painted, random_images, scene
from windfirm.attack.corruptions import noise

GREY = torch.full((20, 3, 32, 32), 0.5)


@pytest.mark.parametrize(("severity", "sigma"), list(enumerate((0.04, 0.06, 0.08, 0.09, 0.10), 1)))
def test_gaussian_noise_has_its_spread(severity: int, sigma: float) -> None:
    changes = painted("gaussian-noise", severity, GREY) - GREY
    assert changes.std().item() == pytest.approx(sigma, rel=0.01)  # 61,440 values: three standard errors
    assert abs(changes.mean().item()) < 0.013 * sigma


def test_gaussian_noise_is_normal() -> None:
    changes = (painted("gaussian-noise", 1, GREY) - GREY).flatten()[:5000]
    assert stats.kstest(changes.numpy() / 0.04, "norm").pvalue > 0.01


def test_speckle_noise_grows_with_the_value() -> None:
    for value in (0.0, 0.25, 1.0):
        images = torch.full_like(GREY, value)
        changes = painted("speckle-noise", 3, images) - images
        assert changes.std().item() == pytest.approx(0.12 * value, rel=0.01)


def test_shot_noise_is_the_poisson_quantile_of_each_number() -> None:
    images = (random_images(2, 8, 8) * 255).round() / 255
    images[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    for photons in (500, 50, 3):
        shot = scene(images)
        numbers = shot.uniform("photons", 3, 8, 8)
        wanted = stats.poisson.ppf(numbers.numpy(), (images.double() * photons).numpy())
        # ppf gives -1 for the number 0 and an image that is black; none of the numbers is 0 here.
        got = noise.shot_noise(shot, photons) * photons
        assert torch.equal(got.round().double(), torch.from_numpy(wanted))


@pytest.mark.parametrize(("severity", "share"), list(enumerate((0.01, 0.02, 0.03, 0.05, 0.07), 1)))
def test_impulses_hit_their_share_of_the_values(severity: int, share: float) -> None:
    changed = painted("impulse-noise", severity, GREY)
    for value in (0.0, 1.0):
        hits = int((changed == value).sum())
        assert stats.binomtest(hits, GREY.numel(), share / 2).pvalue > 0.01
    assert ((changed == 0.5) | (changed == 0) | (changed == 1)).all()


def test_a_value_hit_once_is_hit_at_every_higher_severity() -> None:
    hit = [painted("impulse-noise", severity, GREY) != 0.5 for severity in range(1, 6)]
    for less, more in pairwise(hit):
        assert not (less & ~more).any()
