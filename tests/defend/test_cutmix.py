import pytest
import torch
import torch.nn.functional as F

from tests.defend.nets import batch, generator, shown, small
from windfirm.defend.cutmix import cutmix, span
from windfirm.errors import InputError


@pytest.mark.parametrize("seed", range(12))
def test_the_share_of_the_second_label_is_the_area_that_was_pasted(seed: int) -> None:
    """Each image is one grey of its own, so that pixels of another can be counted."""
    count, height, width = 7, 9, 11
    images = (torch.arange(1.0, 1 + count) / count).view(-1, 1, 1, 1).expand(-1, 3, height, width)
    labels = torch.arange(count) % 4
    loss, logits, (seen,) = shown(cutmix(9, probability=1.0), small(), images, labels, seed)
    foreign = seen != images
    assert torch.equal(foreign.any(1), foreign.all(1))  # all channels alike
    counts = foreign[:, 0].sum((1, 2))
    pasted = counts.max().item()  # an image that met itself, or a box of no size, has none
    assert set(counts.tolist()) <= {0, pasted}
    partner = torch.where(counts == 0, torch.arange(count), (seen * foreign).amax((1, 2, 3)).mul(count).round() - 1)
    share = pasted / (height * width)
    soft = (1 - share) * F.one_hot(labels, 4) + share * F.one_hot(labels[partner.long()], 4)
    torch.testing.assert_close(loss, F.cross_entropy(logits, soft))


def test_one_box_for_the_whole_batch() -> None:
    images = torch.rand(5, 3, 8, 8, generator=generator())
    _, _, (seen,) = shown(cutmix(8, probability=1.0), small(), images, torch.arange(5) % 4, seed=1)
    changed = (seen != images).any(1)
    boxes = [box for box in changed if box.any()]
    assert boxes
    assert all(torch.equal(box, boxes[0]) for box in boxes)
    rows, columns = boxes[0].any(1), boxes[0].any(0)
    assert torch.equal(boxes[0], rows[:, None] & columns)  # a rectangle


def test_a_box_is_clipped_at_the_border() -> None:
    # A quarter of 32×32 is 16×16; around the corner, half of each side is left.
    assert span(16, 16, 32) == slice(8, 24)
    assert span(0, 16, 32) == slice(0, 8)
    assert span(31, 16, 32) == slice(23, 32)
    assert span(3, 0, 32) == slice(3, 3)


def test_half_of_the_batches_stay_as_they_are() -> None:
    images, labels = batch(side=16)
    same = 0
    for seed in range(200):
        _, _, (seen,) = shown(cutmix(16), torch.nn.Flatten(), images.clone(), labels, seed)
        same += torch.equal(seen, images)
    assert 75 <= same <= 135  # a few more than half, as a box can be of no size


@pytest.mark.parametrize("probability", [-0.1, 1.5])
def test_a_probability_out_of_range(probability: float) -> None:
    with pytest.raises(InputError) as error:
        cutmix(32, probability=probability)
    assert str(error.value) == f"cutmix: expected a probability in [0, 1], got {probability}"
