from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data import tiny
from windfirm.data.store import home, load_stored, put, unfinished, verify_stored
from windfirm.errors import DataError

DATASET = tiny.tiny_dataset()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with unfinished(DATASET, tmp_path) as folder:
        put(DATASET, tiny.tiny_arrays(), tmp_path, folder)
    return tmp_path


def test_what_is_stored_is_loaded(root: Path) -> None:
    data = load_stored(DATASET, "test", root)
    assert torch.equal(data.images, torch.from_numpy(tiny.tiny_arrays()["test_images"]))
    assert data.labels.tolist() == [3, 9]
    assert (data.name, data.classes[3]) == ("tiny/test", "cat")


def test_loading_train_opens_no_test_file(root: Path) -> None:
    for path in (root / "tiny").glob("test_*"):
        path.unlink()
    assert len(load_stored(DATASET, "train", root)) == 10


def test_writing_to_loaded_images_does_not_reach_the_file(root: Path) -> None:
    load_stored(DATASET, "train", root).images.zero_()
    verify_stored(DATASET, root)


def test_a_data_set_that_was_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_stored(DATASET, "train", tmp_path)
    where = tmp_path / "tiny" / "train_images.npy"
    assert str(caught.value) == f"{where}: expected a stored array, got no such file; run `windfirm data fetch tiny`"


def test_a_file_that_is_cut_short(root: Path) -> None:
    path = root / "tiny" / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError) as caught:
        load_stored(DATASET, "train", root)
    assert str(caught.value) == f"{path}: expected a stored array, got a damaged file; run `windfirm data fetch tiny`"


def test_an_array_of_another_shape(root: Path) -> None:
    path = root / "tiny" / "test_labels.npy"
    np.save(path, np.zeros(3, np.int32))
    with pytest.raises(DataError) as caught:
        load_stored(DATASET, "test", root)
    assert str(caught.value) == f"{path}: expected uint8 (2,), got int32 (3,); run `windfirm data fetch tiny`"


def test_verify_names_the_changed_array(root: Path) -> None:
    path = root / "tiny" / "test_labels.npy"
    np.save(path, np.zeros(2, np.uint8))
    with pytest.raises(DataError) as caught:
        verify_stored(DATASET, root)
    found = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"  # sha256sum of two zero bytes
    wanted = DATASET.digests["test_labels"]
    assert str(caught.value) == f"{path}: expected test_labels with SHA-256 {wanted}, got {found}"


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"WINDFIRM_HOME": "/w", "XDG_CACHE_HOME": "/x"}, "/w"),
        ({"WINDFIRM_HOME": "", "XDG_CACHE_HOME": "/x"}, "/x/windfirm"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/windfirm"),
        ({"HOME": "/h"}, "/h/.cache/windfirm"),
        ({"HOME": "/h", "WINDFIRM_HOME": "~/w"}, "/h/w"),
    ],
)
def test_home(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str) -> None:
    for name in ("WINDFIRM_HOME", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert home() == Path(folder)
