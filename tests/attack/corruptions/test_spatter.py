import numpy as np
import torch
from scipy import ndimage

from tests.attack.corruptions.scenes import painted, random_images, scene
from windfirm.attack.corruptions import spatter


def test_the_edges_of_a_square_run_around_it() -> None:
    square = np.zeros((20, 20))
    square[6:14, 6:14] = 200.0
    edges = spatter._edges(square, 50, 150)
    inside, outside = ndimage.binary_erosion(square > 0), ndimage.binary_dilation(square > 0, np.ones((3, 3)))
    assert edges.any()
    assert not edges[inside].any()
    assert not edges[~outside].any()
    assert ndimage.label(~edges)[1] == 2  # closed: what is inside does not hang together with what is outside


def test_weak_edges_stay_only_beside_strong_ones() -> None:
    steps = np.zeros((9, 40))
    steps[:, 10:] += 20  # a gradient of 80: between the two limits, and alone
    assert not spatter._edges(steps, 50, 150).any()
    steps[:, 30:] += 100
    found = spatter._edges(steps, 50, 150)
    assert set(np.nonzero(found)[1].tolist()) <= {29, 30}
    assert found.any(1).all()
    fading = np.zeros((60, 20))
    fading[:, 10:] = np.linspace(60, 0, 60)[:, None]  # one edge that grows weak
    rows = np.nonzero(spatter._edges(fading, 50, 150).any(1))[0]
    assert 44 < rows.max() < 50  # it is followed until its gradient, four times its height, is 50
    assert len(rows) == rows.max() + 1


def test_equalising_makes_an_even_ramp() -> None:
    grid = np.array([[10.0, 10.0, 20.0], [30.0, 30.0, 40.0]])
    # below: 0, 1, 3, 4 of the four values that are not the first
    assert spatter._equalized(grid).tolist() == [[0.0, 0.0, 64.0], [191.0, 191.0, 255.0]]
    assert spatter._equalized(np.full((2, 2), 7.0)).tolist() == [[7.0, 7.0], [7.0, 7.0]]


def test_water_brightens_in_its_own_colour() -> None:
    images = random_images(10) / 4
    for severity in (1, 2, 3):
        wet = painted("spatter", severity, images) - images
        assert wet.min() > -1e-6
        assert (wet.amax((1, 2, 3)) <= 0.5 * 238 / 255 + 1e-6).all()
        torch.testing.assert_close(wet[:, 0] * 238, wet[:, 1] * 175, rtol=0, atol=1e-4)
        assert 0.0005 < wet.mean() < 0.1


def test_dry_glass_changes_nothing() -> None:
    images = random_images(2)
    for paint in (spatter.water, spatter.mud):
        assert torch.equal(paint(scene(images), 0.5, 0.1, 0.7, 0.99, 0.5), images)


def test_mud_hides_the_picture() -> None:
    images = random_images(5)
    muddy = painted("spatter", 5, images)
    mud = torch.tensor([63.0, 42.0, 20.0])[:, None, None] / 255
    cover = ((muddy - images) / (mud - images)).median(1).values  # the share of mud, by the most certain channel
    assert (cover[cover > 0.01] >= 0.799).all()
    assert 0.005 < (cover > 0.5).float().mean() < 0.2


def test_drops_cover_as_much_of_a_larger_image() -> None:
    shares = []
    for side in (32, 128):
        images = torch.ones(20, 3, side, side)
        muddy = spatter.mud(scene(images, scale=side / 32), 0.65, 0.1, 0.7, 0.69, 0.6)
        shares.append((muddy[:, 0] < 0.5).float().mean().item())
    assert 0.5 < shares[1] / shares[0] < 2
