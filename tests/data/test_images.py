import pytest
import torch

from windfirm.data.images import Images
from windfirm.errors import InputError

PIXELS = torch.arange(4 * 3 * 2 * 2, dtype=torch.uint8).view(4, 3, 2, 2)
LABELS = torch.tensor([0, 1, 1, 0])


def test_a_subset_by_slice_positions_or_booleans() -> None:
    data = Images(PIXELS, LABELS, ("a", "b"), "toy/test")
    for which in (slice(1, 3), torch.tensor([1, 2]), LABELS == 1):
        subset = data[which]
        assert torch.equal(subset.images, PIXELS[1:3])
        assert subset.labels.tolist() == [1, 1]
        assert (len(subset), subset.classes, subset.name) == (2, ("a", "b"), "toy/test")


def test_an_empty_subset() -> None:
    assert len(Images(PIXELS, LABELS, ("a", "b"), "toy")[:0]) == 0


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (PIXELS[0], LABELS, "toy: expected images (n, c, h, w) of torch.uint8, got (3, 2, 2) torch.uint8"),
        (PIXELS.float(), LABELS, "toy: expected images (n, c, h, w) of torch.uint8, got (4, 3, 2, 2) torch.float32"),
        (PIXELS, LABELS[:3], "toy: expected labels (4,) of torch.int64, got (3,) torch.int64"),
        (PIXELS, LABELS.int(), "toy: expected labels (4,) of torch.int64, got (4,) torch.int32"),
        (PIXELS, LABELS + 1, "toy: expected labels from 0 to 1, got 1 to 2"),
        (PIXELS, LABELS - 1, "toy: expected labels from 0 to 1, got -1 to 0"),
    ],
)
def test_what_does_not_fit_together(images: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Images(images, labels, ("a", "b"), "toy")
    assert str(caught.value) == message
