from pathlib import Path

import pytest

from windfirm.errors import InputError
from windfirm.files import atomic, sweep, write_text


def test_text_comes_back_from_a_folder_that_did_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "note.txt"
    write_text(path, "F′ − F: +0.61\n")
    assert path.read_bytes() == "F′ − F: +0.61\n".encode()
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_content_and_no_part_of_the_new(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")

    def write_half() -> None:
        with atomic(path) as temporary:
            temporary.write_text("half of the n")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_sees_the_old_content_until_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    write_text(path, "old")
    with atomic(path) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    path = tmp_path / "file" / "below" / "note.txt"
    with pytest.raises(InputError) as error:
        write_text(path, "text")
    assert str(error.value) == f"{path}: expected a place that can be written, got: Not a directory"


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    with pytest.raises(InputError) as error, atomic(path):
        raise OSError(28, "No space left on device")
    assert str(error.value) == f"{path}: expected a place that can be written, got: No space left on device"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_the_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "taken"
    path.mkdir()
    with pytest.raises(InputError) as error:
        write_text(path, "text")
    assert str(error.value) == f"{path}: expected a place that can be written, got: Is a directory"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "state[1].bin"
    write_text(path, "old")
    left, others = tmp_path / ".state[1].bin.x7_.part", [tmp_path / ".state1.bin.x7_.part", tmp_path / "part"]
    for file in (left, *others):
        file.touch()
    sweep(path)
    assert {*tmp_path.iterdir()} == {path, *others}
