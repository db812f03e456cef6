"""Images in batches, gone through again and again."""

import torch

from windfirm.data.batches import Batches
from windfirm.data.images import Images


def some(labels: list[int]) -> Images:
    """Grey images, each of the shade of its number."""
    pixels = torch.arange(len(labels), dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 2)
    return Images(pixels.contiguous(), torch.tensor(labels), ("a", "b", "c"), "some")


def order(batches: Batches) -> list[int]:
    return [round(255 * float(image[0, 0, 0])) for images, _ in batches for image in images]


def test_images_come_in_order_in_parts_and_again() -> None:
    batches = Batches(some([0, 2, 1, 0, 1]), 2)
    assert [len(images) for images, _ in batches] == [2, 2, 1]
    assert order(batches) == order(batches) == [0, 1, 2, 3, 4]
    assert order(Batches(some([1, 1, 1]), 2)) == [0, 1, 2]  # of one class there is nothing to mix


def test_images_sorted_by_class_are_mixed_always_alike() -> None:
    batches = Batches(some([0] * 20 + [1] * 20 + [2] * 20), 15)
    assert sorted(order(batches)) == list(range(60))
    assert order(batches) == order(Batches(some([0] * 20 + [1] * 20 + [2] * 20), 15))
    for images, labels in batches:
        assert set(labels.tolist()) == {0, 1, 2}
        for image, label in zip(images, labels, strict=True):
            assert round(255 * float(image[0, 0, 0])) // 20 == label
