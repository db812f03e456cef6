import gzip
import hashlib
import os
import pickle
import struct
import tarfile
import time
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.data import tiny
from windfirm.data.cifar10 import ARRAYS, Source
from windfirm.data.fetching import fetch_into
from windfirm.data.store import put, unfinished, verify_stored
from windfirm.errors import DataError, InputError


def silent(line: str) -> None:
    pass


def failure(home: Path, source: Path) -> str:
    """What a fetch from ``source`` complains about, after a check that it left nothing behind."""
    with pytest.raises(DataError) as caught:
        fetch_into(tiny.tiny_dataset(), home, source, silent)
    assert list(home.rglob("*")) == []
    return str(caught.value).removeprefix(f"{source}: ")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.mark.parametrize(
    "files", [tiny.binary_files(), tiny.python_files(), tiny.npm_files()], ids=["bin", "py", "npm"]
)
@pytest.mark.parametrize("form", ["gz", "tar", "folder"])
def test_every_form_gives_the_same_arrays(home: Path, tmp_path: Path, files: tiny.Files, form: str) -> None:
    if form == "folder":
        source = tmp_path / "given"
        for name, content in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(content)
    else:
        source = tiny.write_tar(tmp_path / "given", files, "w:gz" if form == "gz" else "w")
    where = fetch_into(tiny.tiny_dataset(), home, source, silent)
    assert where == home / "tiny"
    assert sorted(path.name for path in home.rglob("*")) == sorted(["tiny", *(f"{name}.npy" for name in ARRAYS)])
    for name, array in tiny.tiny_arrays().items():
        np.testing.assert_array_equal(np.load(where / f"{name}.npy"), array)


def test_a_truncated_archive(home: Path, tmp_path: Path) -> None:
    source = tiny.write_tar(tmp_path / "cut.tar.gz", tiny.binary_files())
    source.write_bytes(source.read_bytes()[:9000])
    assert failure(home, source) == "expected a whole .tar or .tar.gz archive, got a damaged one (EOFError)"


def test_something_that_is_no_archive(home: Path, tmp_path: Path) -> None:
    source = tmp_path / "page.html"
    source.write_text("<html>not found</html>" * 100)
    assert failure(home, source) == "expected a whole .tar or .tar.gz archive, got a damaged one (ReadError)"


@pytest.mark.parametrize("name", ["../../data_batch_1.bin", "/tmp/data_batch_1.bin"])
def test_a_path_that_leads_outside(home: Path, tmp_path: Path, name: str) -> None:
    source = tiny.write_tar(tmp_path / "evil.tar.gz", {name: b"x"})
    assert failure(home, source) == f"expected paths inside the archive, got '{name}'"
    assert not (tmp_path.parent / "data_batch_1.bin").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_link_or_device(home: Path, tmp_path: Path, kind: bytes) -> None:
    source = tmp_path / "evil.tar"
    with tarfile.open(source, "w") as tar:
        tiny.add(tar, "a/test_batch.bin", b"", type=kind, linkname="/etc/passwd")
    assert failure(home, source) == "expected files and folders only, got a link or device, 'a/test_batch.bin'"


def test_a_member_that_comes_twice(home: Path, tmp_path: Path) -> None:
    source = tiny.write_tar(tmp_path / "twice.tar", {"a/test_batch.bin": b"x", "b/test_batch.bin": b"y"}, "w")
    assert failure(home, source) == "expected one test_batch.bin, got two"


def test_an_archive_that_unpacks_into_too_much(home: Path, tmp_path: Path) -> None:
    source = tmp_path / "bomb.tar.gz"
    source.write_bytes(gzip.compress(tiny.write_tar(tmp_path / "t", {"x": bytes(1 << 21)}, "w").read_bytes()))
    assert failure(home, source) == f"expected at most {2 * 12 * 3073 + (1 << 20):,} bytes when unpacked, got more"


def test_too_many_members(home: Path, tmp_path: Path) -> None:
    source = tiny.write_tar(tmp_path / "many.tar", {str(i): b"" for i in range(101)}, "w")
    assert failure(home, source) == "expected at most 100 files, got more"


def test_a_missing_member(home: Path, tmp_path: Path) -> None:
    files = tiny.binary_files()
    del files["cifar-10-batches-bin/data_batch_3.bin"]
    source = tiny.write_tar(tmp_path / "a.tar.gz", files)
    assert failure(home, source) == "expected data_batch_3.bin (the binary form), got no such file"


def test_none_of_the_members(home: Path, tmp_path: Path) -> None:
    source = tiny.write_tar(tmp_path / "a.tar.gz", {"readme.html": b""})
    assert (
        failure(home, source) == "expected the files of tiny in one of the forms binary, Python, npm, got none of them"
    )


def test_one_changed_pixel(home: Path, tmp_path: Path) -> None:
    files = tiny.binary_files()
    files["cifar-10-batches-bin/test_batch.bin"] = files["cifar-10-batches-bin/test_batch.bin"][:-1] + b"\x00"
    changed = tiny.tiny_arrays()["test_images"].copy()
    changed[-1, -1, -1, -1] = 0
    source = tiny.write_tar(tmp_path / "a.tar.gz", files)
    wanted = tiny.tiny_dataset().digests["test_images"]
    found = hashlib.sha256(changed.tobytes()).hexdigest()
    assert failure(home, source) == f"expected test_images with SHA-256 {wanted}, got {found}"


def test_two_swapped_batches(home: Path, tmp_path: Path) -> None:
    files = tiny.binary_files()
    a, b = "cifar-10-batches-bin/data_batch_1.bin", "cifar-10-batches-bin/data_batch_2.bin"
    files[a], files[b] = files[b], files[a]
    assert failure(home, tiny.write_tar(tmp_path / "a.tar.gz", files)).startswith("expected train_images with SHA-256 ")


@pytest.mark.parametrize(
    ("files", "name", "content", "message"),
    [
        (tiny.binary_files(), "test_batch.bin", b"x", "expected 6,146 bytes, got 1"),
        (tiny.npm_files(), "test_batch.png", b"GIF89a", "expected a PNG image, got something else"),
        (
            tiny.npm_files(),
            "test_batch.png",
            tiny.png(np.zeros((3, 1024, 3), np.uint8)),
            "expected 1024 × 2 pixels of 8-bit RGB, got 1024 × 3 with 8 bits and color type 2",
        ),
        (
            tiny.npm_files(),
            "test_batch.png",
            tiny.png(np.zeros((2, 1024), np.uint8)),
            "expected 1024 × 2 pixels of 8-bit RGB, got 1024 × 2 with 8 bits and color type 0",
        ),
        (
            tiny.npm_files(),
            "test_batch.png",
            tiny.npm_files()["package/test_batch.png"][:3000],
            "expected a whole PNG image, got a damaged one (OSError)",
        ),
        (
            tiny.npm_files(),
            "test_batch.png",  # a second header, which asks for 60,000 × 60,000 pixels
            tiny.npm_files()["package/test_batch.png"][:33]
            + b"\x00\x00\x00\rIHDR\x00\x00\xea\x60\x00\x00\xea\x60\x08\x02\x00\x00\x00"
            + struct.pack(">I", zlib.crc32(b"IHDR\x00\x00\xea\x60\x00\x00\xea\x60\x08\x02\x00\x00\x00"))
            + tiny.npm_files()["package/test_batch.png"][33:],
            "expected a whole PNG image, got a damaged one (DecompressionBombError)",
        ),
        (tiny.npm_files(), "test_lables.json", b"[3, 10]", "expected a list of 2 labels from 0 to 9, got 10"),
        (tiny.npm_files(), "test_lables.json", b"[3, true]", "expected a list of 2 labels from 0 to 9, got True"),
        (tiny.npm_files(), "test_lables.json", b"[3]", "expected a list of 2 labels from 0 to 9, got 1"),
        (tiny.npm_files(), "test_lables.json", b"{}", "expected a list of 2 labels from 0 to 9, got dict"),
        (tiny.npm_files(), "test_lables.json", b"[" * 100_000, "expected JSON, got a damaged file (RecursionError)"),
        (tiny.npm_files(), "test_lables.json", b"[3,", "expected JSON, got a damaged file (JSONDecodeError)"),
        (
            tiny.python_files(),
            "test_batch",
            b"\x80\x02",
            "expected a pickle of one NumPy array and plain values, got ValueError",
        ),
        (
            tiny.python_files(),
            "test_batch",
            b"\x80\x02Nr\xff\xff\xff\x7f.",
            "expected a pickle of one NumPy array and plain values, got a memo index out of all proportion",
        ),
        (tiny.python_files(), "test_batch", b"\x80\x02}.", "expected b'data' with uint8 (2, 3072), got something else"),
    ],
)
def test_a_bad_member(home: Path, tmp_path: Path, files: tiny.Files, name: str, content: bytes, message: str) -> None:
    files = {path: content if path.endswith(f"/{name}") else good for path, good in files.items()}
    assert failure(home, tiny.write_tar(tmp_path / "a.tar.gz", files)) == f"{name}: {message}"


def test_a_malicious_pickle_runs_nothing(home: Path, tmp_path: Path) -> None:
    proof = tmp_path / "executed"
    files = tiny.python_files() | {"cifar-10-batches-py/data_batch_1": tiny.malicious_pickle(proof)}
    message = failure(home, tiny.write_tar(tmp_path / "a.tar.gz", files))
    what = f"the name '{os.name}.mkdir'"
    assert message == f"data_batch_1: expected a pickle of one NumPy array and plain values, got {what}"
    assert not proof.exists()
    pickle.loads(tiny.malicious_pickle(proof))
    assert proof.exists()  # it would have


def test_the_next_source_is_tried_and_failures_are_told(home: Path, tmp_path: Path) -> None:
    good = tiny.write_tar(tmp_path / "good.tar.gz", tiny.npm_files())
    lines: list[str] = []
    dataset = replace(tiny.tiny_dataset(), sources=(Source("first", refuse), Source("second", lambda folder: good)))
    fetch_into(dataset, home, None, lines.append)
    assert lines == [
        "tiny: trying first",
        "tiny: first.org: expected an answer, got silence",
        "tiny: trying second",
        f"tiny: stored in {home / 'tiny'}",
    ]
    verify_stored(dataset, home)


def refuse(folder: Path) -> Path:
    raise DataError("first.org: expected an answer, got silence")


def test_all_sources_failing(home: Path, tmp_path: Path) -> None:
    bad = tiny.write_tar(tmp_path / "bad.tar.gz", {})
    dataset = replace(tiny.tiny_dataset(), sources=(Source("first", refuse), Source("second", lambda folder: bad)))
    with pytest.raises(DataError) as caught:
        fetch_into(dataset, home, None, silent)
    assert str(caught.value) == (
        "tiny: expected a source that answers (or an archive given with --from), got "
        "first.org: expected an answer, got silence | "
        "second: expected the files of tiny in one of the forms binary, Python, npm, got none of them"
    )
    assert list(home.rglob("*")) == []


def test_an_interrupt_leaves_nothing_behind(home: Path) -> None:
    def interrupt(folder: Path) -> Path:
        (folder / "half").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch_into(replace(tiny.tiny_dataset(), sources=(Source("s", interrupt),)), home, None, silent)
    assert list(home.rglob("*")) == []


def test_a_given_source_that_is_not_there(home: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        fetch_into(tiny.tiny_dataset(), home, tmp_path / "nothing", silent)
    assert str(caught.value) == f"--from: expected a file or a folder, got {tmp_path / 'nothing'}, which is neither"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(InputError) as caught:
        fetch_into(tiny.tiny_dataset(), tmp_path / "data", tmp_path, silent)
    assert str(caught.value) == f"{tmp_path / 'data'}: expected a place that can be written, got: File exists"


def test_a_second_fetch_does_nothing(home: Path, tmp_path: Path) -> None:
    source = tiny.write_tar(tmp_path / "a.tar.gz", tiny.binary_files())
    fetch_into(tiny.tiny_dataset(), home, source, silent)
    before = (home / "tiny" / "test_images.npy").stat().st_ino
    lines: list[str] = []
    fetch_into(tiny.tiny_dataset(), home, source, lines.append)
    assert lines == [f"tiny: already in {home / 'tiny'}"]
    assert (home / "tiny" / "test_images.npy").stat().st_ino == before


def test_a_damaged_store_is_replaced(home: Path, tmp_path: Path) -> None:
    source = tiny.write_tar(tmp_path / "a.tar.gz", tiny.binary_files())
    fetch_into(tiny.tiny_dataset(), home, source, silent)
    (home / "tiny" / "test_images.npy").write_bytes(b"junk")
    fetch_into(tiny.tiny_dataset(), home, source, silent)
    verify_stored(tiny.tiny_dataset(), home)
    assert [path.name for path in home.iterdir()] == ["tiny"]


def test_two_fetches_at_once(home: Path, tmp_path: Path) -> None:
    good = tiny.write_tar(tmp_path / "a.tar.gz", tiny.binary_files())

    def overtaken(folder: Path) -> Path:
        fetch_into(tiny.tiny_dataset(), home, good, silent)  # another fetch begins and ends in the meantime
        return good

    fetch_into(replace(tiny.tiny_dataset(), sources=(Source("slow", overtaken),)), home, None, silent)
    verify_stored(tiny.tiny_dataset(), home)
    assert [path.name for path in home.iterdir()] == ["tiny"]


def test_what_a_killed_fetch_left_is_removed_a_day_later(home: Path) -> None:
    for name, age in (("old", 25), ("new", 1)):
        folder = home / f".tiny.{name}.part"
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - 3600 * age,) * 2)
    with unfinished(tiny.tiny_dataset(), home) as folder:
        put(tiny.tiny_dataset(), tiny.tiny_arrays(), home, folder)
    assert sorted(path.name for path in home.iterdir()) == [".tiny.new.part", "tiny"]
