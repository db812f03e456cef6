from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from windfirm.data.folder import load_folder
from windfirm.errors import DataError


def paint(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (4, 3)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)
    return path


def complaint(folder: Path, split: str = "train") -> str:
    with pytest.raises(DataError) as caught:
        load_folder(folder, split)
    return str(caught.value)


def test_class_folders_serve_both_splits(tmp_path: Path) -> None:
    paint(tmp_path / "toys" / "dog" / "1.png", (1, 2, 3))
    paint(tmp_path / "toys" / "cat" / "2.bmp", (4, 5, 6))
    paint(tmp_path / "toys" / "cat" / "1.PNG", (7, 8, 9))
    (tmp_path / "toys" / "cat" / "notes.txt").write_text("no image")
    (tmp_path / "toys" / ".hidden").mkdir()
    for split in ("train", "test"):
        data = load_folder(tmp_path / "toys", split)
        assert data.images.shape == (3, 3, 3, 4)
        assert data.images[:, :, 2, 3].tolist() == [[7, 8, 9], [4, 5, 6], [1, 2, 3]]
        assert data.labels.tolist() == [0, 0, 1]
        assert (data.classes, data.name) == (("cat", "dog"), "toys")


def test_both_splits_number_the_classes_alike_and_train_opens_no_test_file(tmp_path: Path) -> None:
    paint(tmp_path / "toys" / "train" / "dog" / "1.png", (1, 2, 3))
    (tmp_path / "toys" / "test" / "cat").mkdir(parents=True)
    (tmp_path / "toys" / "test" / "cat" / "1.png").write_bytes(b"would fail if it were opened")
    data = load_folder(tmp_path / "toys", "train")
    assert (data.classes, data.labels.tolist(), data.name) == (("cat", "dog"), [1], "toys/train")
    where = tmp_path / "toys" / "test" / "cat" / "1.png"
    assert complaint(tmp_path / "toys", "test") == f"{where}: expected an image, got something else"


def test_gray_becomes_rgb(tmp_path: Path) -> None:
    paint(tmp_path / "a" / "1.png", (0, 0, 0))
    Image.new("L", (4, 3), 9).save(tmp_path / "a" / "1.png")
    assert bool((load_folder(tmp_path, "test").images == 9).all())


def test_an_odd_size(tmp_path: Path) -> None:
    paint(tmp_path / "a" / "1.png", (0, 0, 0))
    odd = paint(tmp_path / "a" / "2.png", (0, 0, 0), (5, 3))
    paint(tmp_path / "b" / "3.png", (0, 0, 0), (6, 3))
    assert complaint(tmp_path) == f"{odd}: expected 4 × 3 pixels like 1.png, got 5 × 3"


def test_a_damaged_image(tmp_path: Path) -> None:
    path = paint(tmp_path / "a" / "1.bmp", (0, 0, 0))
    path.write_bytes(path.read_bytes()[:-8])
    assert complaint(tmp_path) == f"{path}: expected a whole image, got a damaged one"


def test_sixteen_bits(tmp_path: Path) -> None:
    path = paint(tmp_path / "a" / "1.png", (0, 0, 0))
    Image.fromarray(np.zeros((3, 4), np.uint16)).save(path)
    assert complaint(tmp_path) == f"{path}: expected 8 bits a channel, gray or RGB, got mode I;16"


def test_no_images(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert complaint(tmp_path) == f"{tmp_path}: expected class folders with images, got none"


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    paint(tmp_path / "train" / "a" / "1.png", (0, 0, 0))
    assert complaint(tmp_path, "test") == f"{tmp_path}: expected a folder test beside train, got none"
