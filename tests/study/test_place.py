import hashlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from tests.study import toy
from windfirm.errors import InputError, StoreError, UnreachableError
from windfirm.study import place
from windfirm.study.local import Workers
from windfirm.study.store import Store, opened
from windfirm.study.upkeep import forget, sweep, verify
from windfirm.study.work import Ended, Executor, File, Result, Task

URL = "memory://kept"
CELLS = toy.cells(1)
SEED, GROWN = CELLS[0], CELLS[1]


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    """An empty memory filesystem, which all of a process share."""
    yield
    MemoryFileSystem.store.clear()


def executors(device: str) -> Mapping[str, Executor]:
    return {**toy.executors(device), "sow": sow}


def sow(task: Task) -> Result:
    """The toy's; the first time, the worker is killed while it puts the file at its URL."""
    mark = task.progress.parents[1] / "mark"
    if not mark.exists():
        mark.touch()
        LocalFileSystem.put_file = _half
    return toy.sow(task)


def _half(fs: LocalFileSystem, path: str, target: str, **options: Any) -> None:
    Path(target).write_bytes(Path(path).read_bytes()[:7])
    os.kill(os.getpid(), signal.SIGKILL)


def file_of(store: Store) -> File:
    return store.files(SEED.key)["network.bin"]


def refused(file: File) -> str:
    with pytest.raises(StoreError) as error:
        file.checked()
    return str(error.value)


def test_a_store_holds_the_same_wherever_its_files_are_kept(tmp_path: Path) -> None:
    toy.run(tmp_path / "local", CELLS)
    toy.run(tmp_path / "remote", CELLS, url=URL)
    assert toy.dump(tmp_path / "remote") == toy.dump(tmp_path / "local")
    assert not (tmp_path / "remote" / "artifacts").exists()
    with opened(tmp_path / "remote") as store:
        found = [store.files(cell.key)["network.bin"] for cell in CELLS[:4]]
        names = [f"{cell.key}/{file.sha256}-network.bin" for cell, file in zip(CELLS, found, strict=False)]
        assert place.names(URL) == dict.fromkeys(names, 32)
        assert [file.where for file in found] == [f"{URL}/{name}" for name in names]
        assert verify(store) == []


def test_a_worker_killed_while_it_puts_a_file_leaves_none_and_the_run_goes_on(tmp_path: Path) -> None:
    toy.run(tmp_path / "local", CELLS)
    folder, shared = tmp_path / "remote", tmp_path / "shared"
    engine = Workers("tests.study.test_place:executors", 1, folder / "logs")
    board = toy.run(folder, CELLS, engine, url=str(shared))
    assert +board.counts == {"done": len(CELLS)}
    assert toy.dump(folder) == toy.dump(tmp_path / "local")
    (part,) = shared.glob("*/.part-*")
    assert part.stat().st_size == 7
    with opened(folder) as store:
        assert store.artifacts == f"file://{shared}"
        assert verify(store) == []
        found = sweep(store)
        assert (found.cells, found.files, found.bytes) == (0, 1, 7)
        assert verify(store) == []
    assert len(list(shared.glob("*/*"))) == 4


def test_a_damaged_copy_is_fetched_again(tmp_path: Path) -> None:
    toy.run(tmp_path, CELLS, url=URL)
    with opened(tmp_path) as store:
        file = file_of(store)
        before = file.checked().read_bytes()
        file.path.write_bytes(b"damage")
        assert file.checked().read_bytes() == before
        copies = {file.sha256 for cell in CELLS for file in store.files(cell.key).values()}
        assert {path.name for path in store.cache.iterdir()} == copies


def test_a_damaged_or_missing_file_is_told_with_its_url_and_can_be_mended(tmp_path: Path) -> None:
    toy.run(tmp_path, CELLS, url=URL)
    kept = toy.dump(tmp_path)
    with opened(tmp_path) as store:
        file = file_of(store)
        fsspec.filesystem("memory").pipe(file.url, b"damage")
        assert file.checked()  # the copy is whole
        words = f"{file.url}: expected SHA-256 {file.sha256}, got {hashlib.sha256(b'damage').hexdigest()}"
        (damage,) = verify(store)
        assert (damage.cell, damage.words) == (SEED.key, f"{words}: the file was damaged")
        file.path.unlink()
        assert refused(file) == damage.words
        assert not file.path.exists()
        assert file.url
        place.remove(URL, [place.name_of(SEED.key, file.sha256, "network.bin")])
        path = file.url.removeprefix("memory:/")
        assert refused(file) == f"{file.url}: expected a file of the store, got FileNotFoundError: {path}"
        forget(store, {SEED.key})
    toy.run(tmp_path, CELLS)  # the URL need not be told again
    assert toy.dump(tmp_path) == kept


def test_a_place_that_does_not_answer_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def get_file(*values: Any, **options: Any) -> None:
        raise TimeoutError("no answer")

    toy.run(tmp_path, CELLS, url=URL)
    monkeypatch.setattr(MemoryFileSystem, "get_file", get_file)
    with opened(tmp_path) as store:
        first = min(file.where for cell in CELLS for file in store.files(cell.key).values())
        with pytest.raises(UnreachableError) as error:
            verify(store)
    assert str(error.value) == f"{first}: expected a file of the store, got TimeoutError: no answer"


def test_no_cell_is_done_without_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def put_file(*values: Any, **options: Any) -> None:
        raise PermissionError("no right to write here")

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_file)
    board = toy.run(tmp_path, CELLS, url=URL)
    assert +board.counts == {"failed": 1, "blocked": len(CELLS) - 1}
    found = board.errors[SEED.key]
    assert found.startswith(f"{URL}/{SEED.key}/")
    assert found.endswith(": expected a place that can be written, got PermissionError: no right to write here")
    with opened(tmp_path) as store:
        run = store.begin({})
        store.lease(run, [SEED.key])
        url = f"{URL}/{SEED.key}/{'0' * 64}-network.bin"
        absent = Ended(SEED.key, 1.0, Result(), {"network.bin": File(tmp_path / "gone", "0" * 64, 32, url)})
        with pytest.raises(StoreError) as error:
            store.commit(run, [absent])
        assert str(error.value).startswith(f"{url}: expected a file of the store, got FileNotFoundError")
        fsspec.filesystem("memory").pipe(url, b"half")
        with pytest.raises(StoreError) as error:
            store.commit(run, [absent])
        assert str(error.value) == f"{url}: expected 32 bytes, got 4"
        assert store.states([SEED.key])[SEED.key].state == "running"
        assert store.files(SEED.key) == {}


def test_all_runs_of_a_store_keep_their_files_in_one_place(tmp_path: Path) -> None:
    toy.run(tmp_path / "remote", CELLS[:1], url=URL)
    toy.run(tmp_path / "remote", CELLS[:2], url=f"{URL}/")
    toy.run(tmp_path / "local", CELLS[:1])
    for name, kept in [("remote", URL), ("local", tmp_path / "local" / "artifacts")]:
        with pytest.raises(InputError) as error:
            toy.run(tmp_path / name, CELLS[:1], url="memory://elsewhere")
        wanted = f"{kept}, where {tmp_path / name} keeps them since its first run"
        assert str(error.value) == f"--artifacts: expected {wanted}, got memory://elsewhere"


def test_sweeping_leaves_what_others_keep_at_the_url_and_what_may_be_at_work(tmp_path: Path) -> None:
    toy.run(tmp_path, CELLS, url=URL)
    memory = fsspec.filesystem("memory")
    foreign = ["notes.txt", f"{'0' * 32}/{'1' * 64}-network.bin"]
    late = f"{GROWN.key}/{'2' * 64}-network.bin"
    for name in [*foreign, late]:
        memory.pipe(f"{URL}/{name}", b"12345")
    with opened(tmp_path) as store:
        run = store.begin({})
        store.add_study("toy", {}, [SEED, GROWN], [])
        store.db.execute("UPDATE cells SET state = 'running', run = ? WHERE key = ?", (run, GROWN.key))
        told = sweep(store, pretend=True)
        assert len(place.names(URL)) == 4 + 3
        assert sweep(store) == told
        copies = 2  # of the files of the two cells that are not needed
        assert (told.cells, told.files) == (6, 2 + copies)
        kept = [file.where.removeprefix(f"{URL}/") for cell in CELLS[:2] for file in store.files(cell.key).values()]
        assert set(place.names(URL)) == {*foreign, late, *kept}
        store.end(run)
        store.db.execute("UPDATE cells SET state = 'done' WHERE key = ?", (GROWN.key,))
        assert sweep(store).bytes == 5
        assert set(place.names(URL)) == {*foreign, *kept}
        assert verify(store) == []


def test_a_sweep_that_is_killed_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.run(tmp_path, CELLS, url=URL)

    def kill(url: str, unwanted: object) -> None:
        raise KeyboardInterrupt

    with opened(tmp_path) as store:
        store.add_study("toy", {}, [SEED], [])
        with monkeypatch.context() as patched:
            patched.setattr(place, "remove", kill)
            with pytest.raises(KeyboardInterrupt):
                sweep(store)
        assert len(place.names(URL)) == 4
        assert sweep(store).cells == len(CELLS) - 1
        assert [name.partition("/")[0] for name in place.names(URL)] == [SEED.key]
        assert list(store.states([cell.key for cell in CELLS])) == [SEED.key]


def test_urls_that_cannot_be_used_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError) as unknown:
        place.usable("nowhere://x")
    wanted = "expected a place that can be written, got ValueError: Protocol not known: nowhere"
    assert str(unknown.value) == f"nowhere://x: {wanted}"
    (tmp_path / "file").touch()
    with pytest.raises(StoreError) as closed:
        place.usable(f"file://{tmp_path}/file")
    assert str(closed.value).startswith(f"file://{tmp_path}/file: expected a place that can be written, got FileExists")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(InputError) as missing:
        place.usable(URL)
    assert str(missing.value) == f"{URL}: expected the extra windfirm[fsspec], got an environment without it"
