import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from windfirm.data import gather as module
from windfirm.data.gather import gather
from windfirm.errors import DataError, InputError


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    """Twenty images of different sizes and, in the middle, one file that is none."""
    rng = np.random.default_rng(0)
    for i in range(21):
        pixels = rng.integers(256, size=(8 + i % 5, 9 + i % 3, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i:02}.png")
    (tmp_path / "10.png").write_text("no image")
    return sorted(tmp_path.glob("*.png"))


def test_worker_processes_give_what_one_process_gives(paths: list[Path]) -> None:
    alone, together = (gather(paths, (3, 7, 6), "squash", workers=workers) for workers in (1, 2))
    assert alone.images.shape == (20, 3, 7, 6)
    np.testing.assert_array_equal(alone.images, together.images)
    assert alone.read == together.read == [*range(10), *range(11, 21)]
    assert alone.unread == together.unread == {10: "not an image"}


def test_worker_processes_start_without_torch() -> None:
    code = "import sys, windfirm.data.mortal, windfirm.data.picture; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_worker_processes_end_with_the_one_that_started_them_however_that_ends(paths: list[Path]) -> None:
    code = (
        "import os, sys; from pathlib import Path; from windfirm.data.gather import gather\n"
        "gather([Path(sys.argv[1])] * 200, workers=2, progress=lambda done, total: os.kill(os.getpid(), 9))"
    )
    command = [sys.executable, "-c", code, str(paths[0])]
    # The output, which workers share, comes to an end when the last of them is gone.
    assert subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == -9


def test_a_large_array_lies_in_a_file_that_leaves_no_trace(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "home"
    monkeypatch.setenv("WINDFIRM_HOME", str(cache))
    in_memory = gather(paths, (3, 32, 32)).images
    monkeypatch.setattr(module, "IN_MEMORY", 1000)
    in_a_file = gather(paths, (3, 32, 32)).images
    assert isinstance(in_a_file, np.memmap)
    np.testing.assert_array_equal(in_a_file, in_memory)
    assert list(cache.iterdir()) == []


def test_a_disk_that_is_too_small(paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WINDFIRM_HOME", str(tmp_path))
    monkeypatch.setattr(module, "IN_MEMORY", 0)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 5_000_000}))
    with pytest.raises(DataError) as caught:
        gather(paths, (3, 300, 300))
    wanted = "room for 0.0 GB of decoded images; fewer of them (--images) need less"
    assert str(caught.value) == f"{tmp_path}: expected {wanted}, got 0.0 GB"


@pytest.mark.parametrize(
    ("shape", "resize", "message"),
    [
        ((4, 8, 8), "crop", "images: expected a size of 3 (RGB) or 1 (grey), height and width, got 4,8,8"),
        ((3, 0, 8), "crop", "images: expected a size of 3 (RGB) or 1 (grey), height and width, got 3,0,8"),
        ((3, 8, 8), "stretch", "resize: expected crop or squash or pad, got stretch"),
    ],
)
def test_a_size_or_policy_that_there_is_not(shape: tuple[int, int, int], resize: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        gather([], shape, resize)
    assert str(caught.value) == message


def test_progress_counts_the_files_unless_they_are_few(paths: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    gather(paths, (3, 4, 4), progress=lambda done, total: seen.append((done, total)))
    assert seen == []
    monkeypatch.setattr(module, "SHARE", 10)
    gather(paths, (3, 4, 4), workers=1, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(i, 21) for i in range(1, 22)]
