import numpy as np
import pytest
import torch

from windfirm import data
from windfirm.data import Images
from windfirm.errors import InputError

PIXELS = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)


def by_split(split: str) -> tuple[object, ...]:
    return PIXELS, [0, 1] if split == "train" else [1, 0], ("cat", "dog")


def without_argument() -> tuple[object, ...]:
    return torch.from_numpy(PIXELS) / 255, torch.tensor([2, 0], dtype=torch.uint8)


def ready_made(split: str, size: int = 4) -> Images:
    return Images(torch.from_numpy(PIXELS), torch.tensor([0, 0]), ("only",), f"mine, {split}, {size}")


def nothing() -> None:
    return None


def alone() -> tuple[object, ...]:
    return (PIXELS,)


def bright() -> tuple[object, ...]:
    return PIXELS / 7.0, [0, 1]


def words() -> tuple[object, ...]:
    return "pixels", [0, 1]


def halves() -> tuple[object, ...]:
    return PIXELS, [0.5, 1]


def unequal() -> tuple[object, ...]:
    return PIXELS, [0, 1, 2]


def flat() -> tuple[object, ...]:
    return PIXELS[0], [0, 1, 2]


def empty() -> tuple[object, ...]:
    return PIXELS[:0], np.zeros(0, np.int64)


def beyond() -> tuple[object, ...]:
    return PIXELS, [0, 2], ("cat", "dog")


def by_name(*, split: str) -> tuple[object, ...]:
    return PIXELS, [1, 0] if split == "test" else [0, 1], ("cat", "dog")


def by_its_place(download: bool = True, split: str = "train") -> tuple[object, ...]:
    return by_name(split=split)


def with_options(**options: str) -> tuple[object, ...]:
    assert options == {}
    return PIXELS, [0, 1]


def counted() -> tuple[object, ...]:
    return PIXELS, [0, 1], 2


def one_word() -> tuple[object, ...]:
    return PIXELS, [0, 1], "cd"


def broken(split: str) -> tuple[object, ...]:
    raise FileNotFoundError("no disk\nin the drive")


def load(name: str, split: data.Split = "train") -> Images:
    return data.load(f"{__name__}:{name}", split)


def test_a_function_is_called_with_the_split_if_it_takes_one() -> None:
    found = load("by_split", "test")
    assert found.images.tolist() == PIXELS.tolist()
    assert (found.labels.tolist(), found.classes, found.name) == ([1, 0], ("cat", "dog"), f"{__name__}:by_split/test")
    assert [load("by_name", split).labels.tolist() for split in ("train", "test")] == [[0, 1], [1, 0]]
    assert [load("by_its_place", split).labels.tolist() for split in ("train", "test")] == [[0, 1], [1, 0]]
    assert load("with_options", "test").name == f"{__name__}:with_options"
    assert load("ready_made", "test").name == "mine, test, 4"


def test_floats_become_pixels_and_labels_number_the_classes() -> None:
    found = load("without_argument")
    assert found.images.tolist() == PIXELS.tolist()
    assert (found.labels.tolist(), found.classes) == ([2, 0], ("0", "1", "2"))
    assert found.name == f"{__name__}:without_argument"


def test_a_limit() -> None:
    assert len(data.load(f"{__name__}:by_split", "train", limit=1)) == 1


WANTED = "Images, or (images (n, c, h, w) uint8 or in [0, 1], labels (n,)) and class names if you like"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", f"expected {WANTED}, got NoneType"),
        ("alone", f"expected {WANTED}, got a tuple of 1"),
        ("bright", "expected images of uint8, or floating point in [0, 1], got torch.float64 in [0, 13.57]"),
        ("words", f"expected {WANTED}, got str (new(): invalid data type 'str')"),
        ("counted", f"expected {WANTED}, got 2 for class names"),
        ("one_word", f"expected {WANTED}, got 'cd' for class names"),
        ("halves", "expected labels that are whole numbers, got torch.float32"),
        ("unequal", "expected labels (2,) of torch.int64, got (3,) torch.int64"),
        ("flat", "expected images (n, c, h, w) of torch.uint8, got (3, 4, 4) torch.uint8"),
        ("empty", "expected at least one image and label, got 0 and 0"),
        ("beyond", "expected labels from 0 to 1, got 0 to 2"),
        ("broken", "expected a function that makes the train images, got FileNotFoundError: no disk"),
        (
            "missing",
            "expected a module:function that can be imported, "
            f"got AttributeError: module '{__name__}' has no attribute 'missing'",
        ),
    ],
)
def test_what_a_function_may_not_return(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        load(name)
    assert str(caught.value) == f"{__name__}:{name}: {message}"
