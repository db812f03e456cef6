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
    assert data.skipped == ()
    where = tmp_path / "toys" / "test"
    wanted = "images that can be read, got none of 1, such as cat/1.png (not an image)"
    assert complaint(tmp_path / "toys", "test") == f"{where}: expected {wanted}"


def test_val_stands_for_test_where_there_is_no_test(tmp_path: Path) -> None:
    paint(tmp_path / "toys" / "train" / "dog" / "1.png", (1, 2, 3))
    paint(tmp_path / "toys" / "val" / "dog" / "2.png", (4, 5, 6))
    data = load_folder(tmp_path / "toys", "test")
    assert (data.images[0, :, 0, 0].tolist(), data.name) == ([4, 5, 6], "toys/val")
    paint(tmp_path / "toys" / "test" / "dog" / "3.png", (7, 8, 9))
    assert load_folder(tmp_path / "toys", "test").name == "toys/test"


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("bus", "train"):
        paint(tmp_path / "traffic" / name / "1.png", (0, 0, 0))
    assert load_folder(tmp_path / "traffic", "test").classes == ("bus", "train")


def test_gray_becomes_rgb(tmp_path: Path) -> None:
    paint(tmp_path / "a" / "1.png", (0, 0, 0))
    Image.new("L", (4, 3), 9).save(tmp_path / "a" / "1.png")
    assert bool((load_folder(tmp_path, "test").images == 9).all())


def test_sizes_may_differ_when_one_is_asked_for(tmp_path: Path) -> None:
    paint(tmp_path / "a" / "1.png", (1, 1, 1))
    odd = paint(tmp_path / "a" / "2.png", (2, 2, 2), (5, 3))
    paint(tmp_path / "b" / "3.png", (3, 3, 3), (6, 3))
    wanted = "4 × 3 pixels like 1.png, or a size to bring all to (--input C,H,W, in a study network.input)"
    assert complaint(tmp_path) == f"{odd}: expected {wanted}, got 5 × 3"
    data = load_folder(tmp_path, "train", shape=(3, 2, 2))
    assert data.images.shape == (3, 3, 2, 2)
    assert data.images[:, 0, 0, 0].tolist() == [1, 2, 3]


def test_files_that_cannot_be_read_are_named_and_the_rest_is_taken(tmp_path: Path) -> None:
    paint(tmp_path / "a" / "1.png", (1, 1, 1))
    cut = paint(tmp_path / "a" / "2.bmp", (2, 2, 2))
    cut.write_bytes(cut.read_bytes()[:-8])
    Image.fromarray(np.zeros((3, 4), np.uint16)).save(tmp_path / "a" / "3.png")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "4.jpg").write_text("no image")
    paint(tmp_path / "b" / "5.png", (5, 5, 5))
    data = load_folder(tmp_path, "train")
    assert data.images[:, 0, 0, 0].tolist() == [1, 5]
    assert data.labels.tolist() == [0, 1]
    assert data.skipped == (
        "a/2.bmp (a damaged image)",
        "a/3.png (mode I;16, not 8 bits a channel)",
        "b/4.jpg (not an image)",
    )


def test_a_limit_takes_of_each_class_in_turn_and_opens_nothing_else(tmp_path: Path) -> None:
    for number in range(1, 4):
        paint(tmp_path / "a" / f"{number}.png", (number, 0, 0))
    paint(tmp_path / "b" / "1.png", (11, 0, 0))
    (tmp_path / "a" / "4.png").write_text("would be told if it were opened")
    for limit, values in ((1, [1]), (2, [1, 11]), (3, [1, 2, 11]), (4, [1, 2, 3, 11])):
        data = load_folder(tmp_path, "train", limit=limit)
        assert (data.images[:, 0, 0, 0].tolist(), data.skipped) == (values, ())
    assert len(load_folder(tmp_path, "train", limit=99).skipped) == 1


def test_what_cannot_be_read_does_not_count_towards_a_limit(tmp_path: Path) -> None:
    for number in (2, 4, 5):
        paint(tmp_path / "a" / f"{number}.png", (number, 0, 0))
    for name in ("a/1.png", "a/3.png", "b/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no image")
    for limit, values in ((1, [2]), (2, [2, 4]), (3, [2, 4, 5]), (9, [2, 4, 5])):
        data = load_folder(tmp_path, "train", limit=limit)
        assert data.images[:, 0, 0, 0].tolist() == values
    assert load_folder(tmp_path, "train", limit=1).skipped == ("a/1.png (not an image)", "b/1.png (not an image)")


def test_halves_without_classes_are_no_classes(tmp_path: Path) -> None:
    for name in ("train", "test"):
        paint(tmp_path / name / "1.png", (1, 2, 3))
    wanted = "halves called train and test, or val, with the class folders in them"
    assert complaint(tmp_path) == f"{tmp_path}: expected {wanted}, got test and train"


def test_no_images(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert complaint(tmp_path) == f"{tmp_path}: expected class folders with images, got none"


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    paint(tmp_path / "train" / "a" / "1.png", (0, 0, 0))
    wanted = "a folder test or val with class folders beside train"
    assert complaint(tmp_path, "test") == f"{tmp_path}: expected {wanted}, got none"


def test_folders_below_a_class_belong_to_it_and_images_in_other_formats_are_named(tmp_path: Path) -> None:
    for name in ("1.png", "more/2.png", "more/even/3.jfif", ".hidden/4.png"):
        path = tmp_path / "toys" / "cat" / name
        paint(path.with_suffix(".png"), (1, 2, 3)).rename(path)
    paint(tmp_path / "toys" / "cat" / "more" / "film.gif", (1, 2, 3))
    (tmp_path / "toys" / "cat" / "notes.txt").touch()
    found = load_folder(tmp_path / "toys", "train")
    assert len(found) == 3
    assert found.skipped == ("cat/more/film.gif (a format that is not read)",)


@pytest.mark.parametrize("names", [("Training", "TESTING"), ("training", "validation"), ("valid",)])
def test_halves_under_other_names_are_not_taken_for_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        for label in ("cat", "dog"):
            paint(tmp_path / name / label / "1.png", (1, 2, 3))
    wanted = "halves called train and test, or val, with the class folders in them"
    assert complaint(tmp_path) == f"{tmp_path}: expected {wanted}, got {' and '.join(sorted(names))}"


def test_halves_under_other_names_are_no_classes_beside_a_folder_of_another_kind(tmp_path: Path) -> None:
    for name in ("Training", "Testing"):
        paint(tmp_path / name / "cat" / "1.png", (1, 2, 3))
    paint(tmp_path / "docs" / "1.png", (1, 2, 3))
    wanted = "halves called train and test, or val, with the class folders in them"
    assert complaint(tmp_path) == f"{tmp_path}: expected {wanted}, got Testing and Training"


@pytest.mark.parametrize("inner", ["", "train"])
def test_one_folder_of_folders_is_no_class(tmp_path: Path, inner: str) -> None:
    """The folder that an archive was unpacked into, beside which there is nothing else."""
    for name in ("cat", "dog"):
        paint(tmp_path / inner / "archive" / name / "1.png", (1, 2, 3))
    wanted = "class folders, or halves called train and test, or val"
    assert complaint(tmp_path) == f"{tmp_path / inner}: expected {wanted}, got archive alone, with folders in it"
    paint(tmp_path / inner / "archive" / "1.png", (1, 2, 3))
    assert load_folder(tmp_path, "train").classes == ("archive",)


def test_the_folder_that_macs_leave_in_archives_is_none(tmp_path: Path) -> None:
    for name in ("cat", "dog", "__MACOSX"):
        paint(tmp_path / name / "1.png", (1, 2, 3))
    assert load_folder(tmp_path, "train").classes == ("cat", "dog")


def test_a_class_may_be_called_training_and_have_folders_where_others_are_there(tmp_path: Path) -> None:
    paint(tmp_path / "training" / "steam" / "1.png", (1, 2, 3))
    paint(tmp_path / "car" / "1.png", (1, 2, 3))
    assert load_folder(tmp_path, "test").classes == ("car", "training")
