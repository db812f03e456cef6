from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from windfirm import data
from windfirm.data.embedded import FOLDER
from windfirm.errors import DataError, InputError


@pytest.fixture(autouse=True)
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WINDFIRM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_by_name_and_by_path(tmp_path: Path) -> None:
    assert len(data.load("embedded", "test")) == 1000
    (tmp_path / "toys" / "a").mkdir(parents=True)
    Image.new("RGB", (4, 3)).save(tmp_path / "toys" / "a" / "1.png")
    assert len(data.load(str(tmp_path / "toys"), "test")) == 1


def test_a_data_set_that_was_not_fetched(empty_home: Path) -> None:
    with pytest.raises(DataError) as caught:
        data.load("cifar10", "train")
    where = empty_home / "data" / "cifar10" / "train_images.npy"
    assert str(caught.value) == f"{where}: expected a stored array, got no such file; run `windfirm data fetch cifar10`"


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (
            data.load,
            ("mnist", "test"),
            "data: expected cifar10, embedded, a folder of class folders or package.module:factory, got mnist",
        ),
        (
            data.load,
            (Path("mnist"), "test"),
            "data: expected cifar10, embedded, a folder of class folders or package.module:factory, got mnist",
        ),
        (data.load, ("embedded", "val"), "split: expected train or test, got val"),
        (partial(data.load, limit=0), ("embedded", "test"), "limit: expected a number of images of at least 1, got 0"),
        (
            partial(data.load, limit=-3),
            ("embedded", "test"),
            "limit: expected a number of images of at least 1, got -3",
        ),
        (partial(data.load, resize="cut"), ("embedded", "test"), "resize: expected crop or squash or pad, got cut"),
        (data.fetch, ("mnist",), "data fetch: expected cifar10, got mnist"),
        (data.verify, ("mnist",), "data verify: expected cifar10 or embedded, got mnist"),
    ],
)
def test_unknown_names(function: Any, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert str(caught.value) == message


def test_verify_the_embedded_subset() -> None:
    data.verify("embedded")


def test_available(empty_home: Path) -> None:
    where = empty_home / "data" / "cifar10"
    embedded = data.Available("embedded", FOLDER, "in the package", 5000)
    assert data.available() == [data.Available("cifar10", where, "not fetched", 60_000), embedded]
    where.mkdir(parents=True)
    assert data.available() == [data.Available("cifar10", where, "incomplete", 60_000), embedded]
