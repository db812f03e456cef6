import pytest
import torch

from tests.defend.nets import batch, shown, small
from windfirm.adjust.objective import cross_entropy
from windfirm.defend.cutout import blot, cutout
from windfirm.errors import InputError


def test_exactly_the_clipped_square_is_blotted() -> None:
    """Places in the middle, in two corners and at an edge; by loops, pixel by pixel."""
    rows, columns, size = [5, 0, 8, 3], [4, 0, 9, 9], 4
    images = torch.full((4, 2, 9, 10), 0.5)
    found = blot(images, torch.tensor(rows), torch.tensor(columns), size, 0.0)
    for i in range(4):
        square = [
            [rows[i] - 2 <= y < rows[i] + 2 and columns[i] - 2 <= x < columns[i] + 2 for x in range(10)]
            for y in range(9)
        ]
        assert torch.equal(found[i] == 0, torch.tensor(square).expand(2, 9, 10))
    assert [(found[i, 0] == 0).sum().item() for i in range(4)] == [4 * 4, 2 * 2, 3 * 3, 4 * 3]
    assert torch.equal(images, torch.full_like(images, 0.5))


def test_the_square_is_half_the_side_and_its_place_is_anywhere() -> None:
    assert cutout(32).options == {"size": 16, "fill": 0.0}
    images, labels = torch.ones(300, 3, 8, 8), torch.arange(300) % 4
    _, _, (seen,) = shown(cutout(8), small(), images, labels)
    black = (seen == 0).all(1)
    assert torch.equal(black, (seen == 0).any(1))  # all channels alike
    height, width = (black.any(axis).sum(1) for axis in (2, 1))
    assert torch.equal(black.sum((1, 2)), height * width)  # a rectangle, without holes
    # Of the places 0 to 7, the first loses two pixels, the second and the last one.
    assert set(height.tolist()) == set(width.tolist()) == {2, 3, 4}
    whole = (height == 4).sum().item()
    assert 155 < whole < 220  # 5 of 8, give or take four standard deviations


def test_another_size_and_colour() -> None:
    _, _, (seen,) = shown(cutout(8, size=3, fill=0.25), small(), torch.ones(50, 3, 8, 8), torch.zeros(50).long())
    assert set(seen.flatten().tolist()) == {0.25, 1.0}
    assert (seen == 0.25).sum((1, 2, 3)).max() == 3 * 3 * 3


def test_the_loss_is_the_plain_one_of_what_is_left() -> None:
    images, labels = batch()
    loss, _, (seen,) = shown(cutout(8), small(), images, labels)
    assert torch.equal(loss, cross_entropy(small(), seen, labels, torch.Generator())[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 17}, "cutout: expected a size in [0, 16], got 17"),
        ({"size": -1}, "cutout: expected a size in [0, 16], got -1"),
        ({"fill": 128}, "cutout: expected a fill in [0, 1], got 128"),
    ],
)
def test_what_cannot_be_blotted(options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError) as error:
        cutout(8, **options)
    assert str(error.value) == message
