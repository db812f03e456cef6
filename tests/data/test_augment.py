import numpy as np
import torch
from torch import Tensor

from windfirm.data.augment import Augmenter, padding, to_float

CPU = torch.device("cpu")


def some_images(count: int = 5, height: int = 8, width: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def stream(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def crop(image: np.ndarray, top: int, left: int, flip: bool) -> np.ndarray:
    """Pixel by pixel: row r, column q of the crop is row r + top - 4, column q + left - 4 of the image, or black."""
    channels, height, width = image.shape
    out = np.zeros(image.shape, np.float32)
    for c in range(channels):
        for r in range(height):
            for q in range(width):
                y, x = r + top - 4, q + left - 4
                if 0 <= y < height and 0 <= x < width:
                    out[c, r, width - 1 - q if flip else q] = np.float32(image[c, y, x]) / np.float32(255)
    return out


def test_crops_equal_a_slow_loop_over_pixels() -> None:
    images, indices = some_images(height=6, width=8), torch.tensor([3, 0, 0, 4, 1, 2])
    draws = stream()
    tops, lefts = torch.randint(2 * 4 + 1, (2, 6), generator=draws)
    flips = torch.rand(6, generator=draws) < 0.5
    assert 0 < flips.sum() < 6  # both cases are in this sample
    slow = [
        crop(images[i].numpy(), int(top), int(left), bool(flip))
        for i, top, left, flip in zip(indices, tops, lefts, flips, strict=True)
    ]
    np.testing.assert_array_equal(Augmenter(images, CPU)(indices, stream()).numpy(), np.stack(slow))


def test_all_162_crops_and_flips_occur_and_nothing_else() -> None:
    image = torch.arange(1, 65, dtype=torch.uint8).view(1, 1, 8, 8)
    possible = {
        crop(image[0].numpy(), top, left, flip).tobytes()
        for top in range(9)
        for left in range(9)
        for flip in (False, True)
    }
    assert len(possible) == 162
    found = Augmenter(image, CPU)(torch.zeros(3000, dtype=torch.long), stream())
    assert {found[i].contiguous().numpy().tobytes() for i in range(3000)} == possible


def test_the_same_stream_gives_the_same_images_and_another_stream_others() -> None:
    augment, indices = Augmenter(some_images(), CPU), torch.arange(5)
    assert torch.equal(augment(indices, stream(1)), augment(indices, stream(1)))
    assert not torch.equal(augment(indices, stream(1)), augment(indices, stream(2)))


def test_values_stay_in_zero_to_one_as_channels_last_float32() -> None:
    batch = Augmenter(some_images(), CPU)(torch.arange(5), stream())
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert batch.min() >= 0
    assert batch.max() <= 1


def test_the_images_themselves_are_not_changed() -> None:
    images = some_images()
    before = images.clone()
    Augmenter(images, CPU)(torch.arange(5), stream()).zero_()
    assert torch.equal(images, before)


def test_to_float_maps_every_byte_to_its_255th() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    expected = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16) / np.float32(255)
    np.testing.assert_array_equal(to_float(every).numpy(), expected)


def test_larger_images_move_by_an_eighth_of_their_side() -> None:
    assert [padding(side) for side in (8, 32, 39, 40, 64, 224)] == [4, 4, 4, 5, 8, 28]
    columns = torch.arange(1, 65, dtype=torch.uint8).expand(1, 1, 64, 64)
    found = Augmenter(columns, CPU)(torch.zeros(300, dtype=torch.long), stream())
    assert int((found == 0).all(2).sum(2).max()) == 8  # empty columns


def test_a_share_of_a_batch_is_cut_as_in_the_whole_of_it() -> None:
    augment, indices = Augmenter(some_images(), CPU), torch.tensor([3, 0, 0, 4, 1, 2])
    whole = augment(indices, stream())
    parts = [augment(indices, stream(), share) for share in (slice(0, 2), slice(2, 6))]
    assert torch.equal(torch.cat(parts), whole)
