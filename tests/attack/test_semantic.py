import pytest
import torch
from torch import Tensor, nn

from tests.oracles import turned
from windfirm.attack.budget import Budget, uniform
from windfirm.attack.colour import rgb_to_hsv
from windfirm.attack.registry import build

LABELS = torch.zeros(6, dtype=torch.int64)
MODEL = nn.Identity()


def random_images(side: int = 8) -> Tensor:
    return torch.rand(6, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_hue_shifts_by_the_number_of_the_image() -> None:
    images = random_images()
    changed = build("semantic", 8).apply(MODEL, images, LABELS, Budget(seed=4, trial=2))
    numbers = uniform(torch.arange(6), 1, 4, "semantic", 2)
    for image, result, number in zip(images, changed, numbers, strict=True):
        torch.testing.assert_close(result, turned(image, number.item() - 0.5), rtol=0, atol=1e-5)


def test_a_narrow_arc_of_hues_is_as_wide_as_asked_for() -> None:
    images = random_images(side=4)
    changed = build("semantic", 4, turn=0.25).apply(MODEL, images, LABELS, Budget(seed=4, trial=2))
    numbers = uniform(torch.arange(6), 1, 4, "semantic", 2)
    for image, result, number in zip(images, changed, numbers, strict=True):
        torch.testing.assert_close(result, turned(image, (number.item() - 0.5) / 4), rtol=0, atol=1e-5)


def test_hue_leaves_saturation_and_value_alone() -> None:
    images = random_images()
    changed = build("semantic", 8).apply(MODEL, images, LABELS, Budget())
    assert (changed - images).abs().max() > 0.1
    torch.testing.assert_close(rgb_to_hsv(changed)[:, 1:], rgb_to_hsv(images)[:, 1:], rtol=0, atol=1e-5)


def test_no_turn_changes_nothing() -> None:
    images = random_images()
    changed = build("semantic", 8, turn=0.0).apply(MODEL, images, LABELS, Budget())
    torch.testing.assert_close(changed, images, rtol=0, atol=1e-6)


def test_shift_moves_the_image_and_fills_with_zeros() -> None:
    marked = torch.zeros(500, 1, 9, 9)
    marked[:, :, 4, 4] = 1
    changed = build("semantic-shift", 9, pixels=2).apply(MODEL, marked, LABELS, Budget())
    _, _, rows, columns = changed.nonzero(as_tuple=True)
    assert len(rows) == 500
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {(y, x) for y in range(2, 7) for x in range(2, 7)}
    edges = build("semantic-shift", 9, pixels=8).apply(MODEL, torch.ones(500, 1, 9, 9), LABELS, Budget())
    assert edges.sum((1, 2, 3)).min() < 10
    assert edges.sum((1, 2, 3)).max() > 60


@pytest.mark.parametrize(("height", "width"), [(4, 9), (9, 4)])
def test_shift_moves_an_image_that_is_not_square(height: int, width: int) -> None:
    images = torch.arange(1.0, height * width + 1).view(1, 1, height, width).repeat(200, 1, 1, 1) / 100
    changed = build("semantic-shift", 4, pixels=1).apply(MODEL, images, LABELS, Budget())
    padded = nn.functional.pad(images[0, 0], (1, 1, 1, 1))
    moved = {tuple(padded[y : y + height, x : x + width].flatten().tolist()) for y in range(3) for x in range(3)}
    assert {tuple(image.flatten().tolist()) for image in changed} == moved


def test_shift_by_no_pixels_changes_nothing() -> None:
    images = random_images()
    assert torch.equal(build("semantic-shift", 8, pixels=0).apply(MODEL, images, LABELS, Budget()), images)


def test_search_starts_with_hue_alone_and_grows_wilder() -> None:
    images = random_images()
    attack = build("semantic-search", 8, trials=10)
    first = attack.apply(MODEL, images, LABELS, Budget(trial=0))
    torch.testing.assert_close(rgb_to_hsv(first)[:, 1:], rgb_to_hsv(images)[:, 1:], rtol=0, atol=1e-5)
    numbers = uniform(torch.arange(6), 2, 0, "semantic-search", 9)
    last = attack.apply(MODEL, images, LABELS, Budget(trial=9))
    for image, result, (turn, more) in zip(images, last, numbers.tolist(), strict=True):
        torch.testing.assert_close(result, turned(image, turn, (2 * more - 1) * 9 / 10), rtol=0, atol=1e-5)


def test_the_grid_tries_every_pair_once_and_the_image_as_it_is() -> None:
    images = random_images()
    attack = build("semantic-grid", 8, hues=4, saturations=3, reach=0.4)
    assert attack.trials == 12
    pairs = [(turn / 4, more) for turn in range(4) for more in (-0.4, 0.0, 0.4)]
    for trial, (turn, more) in enumerate(pairs):
        changed = attack.apply(MODEL, images, LABELS, Budget(trial=trial))
        for image, result in zip(images, changed, strict=True):
            torch.testing.assert_close(result, turned(image, turn, more), rtol=0, atol=1e-5)
    unchanged = attack.apply(MODEL, images, LABELS, Budget(trial=1))
    torch.testing.assert_close(unchanged, images, rtol=0, atol=1e-6)


def test_a_grid_of_one_saturation_turns_hues_alone() -> None:
    images = random_images()
    attack = build("semantic-grid", 8, hues=3, saturations=1)
    torch.testing.assert_close(attack.apply(MODEL, images, LABELS, Budget(trial=1)), images.roll(1, 1))
