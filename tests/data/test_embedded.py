import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from benchmarks.make_embedded import choose, write_split

from windfirm.data.embedded import FOLDER, load_embedded
from windfirm.errors import DataError


@pytest.mark.parametrize(("split", "per_class", "full"), [("train", 400, 50_000), ("test", 100, 10_000)])
def test_the_subset_is_stratified_mixed_and_like_the_whole(split: str, per_class: int, full: int) -> None:
    data = load_embedded(split)
    assert data.labels.bincount().tolist() == [per_class] * 10
    assert data.labels[:100].bincount(minlength=10).min() > 0
    assert data.name == f"embedded/{split}"
    mean = data.images.double().mean((0, 2, 3)) / 255
    published = torch.tensor([0.4914, 0.4822, 0.4465], dtype=torch.float64)  # of the 50,000 training images
    torch.testing.assert_close(mean, published, atol=0.02, rtol=0)
    indices = json.loads((FOLDER / f"{split}.json").read_text())["indices"]
    assert len(set(indices)) == 10 * per_class
    assert 0 <= min(indices) < max(indices) < full


def test_the_subset_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 9_000_000


def test_choice_takes_as_many_of_every_class() -> None:
    labels = torch.arange(60) % 3
    chosen = choose(labels, 5, "train")
    assert labels[chosen].bincount().tolist() == [5, 5, 5]
    assert len(set(chosen.tolist())) == 15
    assert torch.equal(chosen, choose(labels, 5, "train"))
    assert not torch.equal(chosen, choose(labels, 5, "test"))


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    images = np.random.default_rng(0).integers(256, size=(3, 3, 32, 32), dtype=np.uint8)
    write_split(tmp_path, "train", images, np.array([0, 5, 9], np.uint8), [7, 8, 49_999])
    return tmp_path


def test_what_is_packed_is_loaded_without_the_other_split(packed: Path) -> None:
    data = load_embedded("train", packed)
    oracle = np.random.default_rng(0).integers(256, size=(3, 3, 32, 32), dtype=np.uint8)
    np.testing.assert_array_equal(data.images.numpy(), oracle)
    assert data.labels.tolist() == [0, 5, 9]


def test_a_changed_label(packed: Path) -> None:
    notes = json.loads((packed / "train.json").read_text())
    notes["labels"][0] = 1
    (packed / "train.json").write_text(json.dumps(notes))
    with pytest.raises(DataError) as caught:
        load_embedded("train", packed)
    wanted = "the images and labels that came with windfirm"
    assert str(caught.value) == f"embedded/train: expected {wanted}, got others; install it again"


def test_a_sheet_of_another_size(packed: Path) -> None:
    shutil.copy(FOLDER / "test-0.webp", packed / "train-0.webp")
    with pytest.raises(DataError) as caught:
        load_embedded("train", packed)
    got = "ValueError: train-0.webp of (32, 16000) pixels"
    assert str(caught.value) == f"embedded/train: expected the files that came with windfirm, got {got}"


@pytest.mark.parametrize("name", ["train.json", "train-0.webp"])
def test_a_missing_file(packed: Path, name: str) -> None:
    (packed / name).unlink()
    with pytest.raises(DataError) as caught:
        load_embedded("train", packed)
    got = f"FileNotFoundError: [Errno 2] No such file or directory: '{packed / name}'"
    assert str(caught.value) == f"embedded/train: expected the files that came with windfirm, got {got}"
