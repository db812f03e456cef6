from itertools import product

import pytest
import torch
from torch import Tensor, nn

from windfirm.attack.budget import Budget
from windfirm.attack.registry import build
from windfirm.errors import InputError

MODEL = nn.Identity()


def labels(images: Tensor) -> Tensor:
    return torch.zeros(len(images), dtype=torch.int64)


def corners(changed: Tensor) -> set[tuple[int, int]]:
    """Where the changed square begins, of each image of ones."""
    return {tuple((image != 1).nonzero()[0, 1:].tolist()) for image in changed}


def test_the_square_is_whole_grey_and_anywhere() -> None:
    images = torch.ones(300, 3, 8, 8)
    changed = build("occlusion", 8).apply(MODEL, images, labels(images), Budget())
    assert ((changed == 0.5).sum((2, 3)) == 16).all()
    assert ((changed == 1).sum((2, 3)) == 48).all()
    assert corners(changed) == set(product(range(5), range(5)))
    top, left = min(corners(changed))
    first = next(image for image in changed if corners(image[None]) == {(top, left)})
    assert (first[:, top : top + 4, left : left + 4] == 0.5).all()


@pytest.mark.parametrize(("height", "width"), [(4, 9), (9, 4)])
def test_the_square_is_anywhere_in_an_image_that_is_not_square(height: int, width: int) -> None:
    images = torch.ones(600, 1, height, width)
    changed = build("occlusion", 4, size=3).apply(MODEL, images, labels(images), Budget())
    assert ((changed == 0.5).sum((1, 2, 3)) == 9).all()
    assert corners(changed) == set(product(range(height - 2), range(width - 2)))


def test_the_worst_case_tries_every_place_of_the_grid_once() -> None:
    attack = build("occlusion-worst", 32)
    assert attack.trials == 49
    images = torch.ones(1, 3, 32, 32)
    seen = [corners(attack.apply(MODEL, images, labels(images), Budget(trial=trial))) for trial in range(49)]
    assert set.union(*seen) == set(product(range(0, 25, 4), range(0, 25, 4)))


def test_the_squares_of_the_worst_case_are_whole_and_have_their_colour() -> None:
    images = torch.ones(1, 3, 32, 32)
    attack = build("occlusion-worst", 32, colour="black")
    for trial, (top, left) in enumerate(product(range(0, 25, 4), repeat=2)):
        wanted = images.clone()
        wanted[:, :, top : top + 8, left : left + 8] = 0
        assert torch.equal(attack.apply(MODEL, images, labels(images), Budget(trial=trial)), wanted)


@pytest.mark.parametrize("side", [20, 30, 36, 50])
def test_the_grid_reaches_the_last_row_and_column(side: int) -> None:
    attack, images = build("occlusion-worst", side, colour="black"), torch.ones(1, 1, side, side)
    last = attack.apply(MODEL, images, labels(images), Budget(trial=attack.trials - 1))
    assert (last[0, 0, -(side // 4) :, -(side // 4) :] == 0).all()


def test_the_search_tries_the_places_of_the_average() -> None:
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    average, search = build("occlusion", 8), build("occlusion-search", 8, trials=3)
    assert (search.trials, search.average) == (3, False)
    for trial in range(3):
        covered = [a.apply(MODEL, images, labels(images), Budget(trial=trial)) for a in (average, search)]
        assert torch.equal(*covered)


@pytest.mark.parametrize(("colour", "value"), [("black", 0.0), ("grey", 0.5), ("mean", 0.25)])
def test_the_square_has_the_colour_asked_for(colour: str, value: float) -> None:
    images = torch.zeros(2, 3, 4, 4)
    images[:, :, :2, :2] = 1
    changed = build("occlusion", 4, size=4, colour=colour).apply(MODEL, images, labels(images), Budget())
    assert (changed == value).all()


def test_mean_is_that_of_each_channel_of_each_image() -> None:
    images = torch.rand(3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    changed = build("occlusion", 4, size=4, colour="mean").apply(MODEL, images, labels(images), Budget())
    for image, result in zip(images, changed, strict=True):
        for channel, values in zip(image, result, strict=True):
            torch.testing.assert_close(values, torch.full((4, 4), float(channel.sum()) / 16))


def test_noise_belongs_to_the_image() -> None:
    images = torch.zeros(3, 3, 4, 4)
    attack = build("occlusion", 4, size=4, colour="noise")
    changed = attack.apply(MODEL, images, labels(images), Budget(ids=torch.tensor([5, 6, 7])))
    alone = attack.apply(MODEL, images[:1], labels(images[:1]), Budget(ids=torch.tensor([6])))
    assert torch.equal(changed[1:2], alone)
    assert len(set(changed.flatten().tolist())) == changed.numel()


@pytest.mark.parametrize("name", ["occlusion", "occlusion-worst"])
def test_a_square_of_no_size_changes_nothing(name: str) -> None:
    images = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(build(name, 8, size=0).apply(MODEL, images, labels(images), Budget()), images)


def test_images_of_another_size_are_refused() -> None:
    images = torch.zeros(1, 3, 8, 8)
    with pytest.raises(InputError) as error:
        build("occlusion-worst", 32).apply(MODEL, images, labels(images), Budget())
    assert str(error.value) == "occlusion-worst: expected images of 32×32, got 8×8"
    with pytest.raises(InputError) as error:
        build("occlusion", 32).apply(MODEL, images, labels(images), Budget())
    assert str(error.value) == "occlusion: expected images of at least 16×16, got 8×8"
