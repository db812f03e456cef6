import os
from pathlib import Path

import pytest

from windfirm.study.cell import Cell
from windfirm.study.progress import drop, take_over
from windfirm.study.store import Store, opened
from windfirm.study.upkeep import sweep
from windfirm.study.work import Ended, Result

F, G = Cell("train", {"seed": 0}), Cell("train", {"seed": 1})


def begun(store: Store) -> str:
    """A run that has leased both cells of a study."""
    store.add_study("two", {}, [F, G], [])
    run = store.begin({})
    assert store.lease(run, [F.key, G.key]) == [F.key, G.key]
    return run


def left(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "progress").iterdir())}


def test_a_state_moves_to_the_run_that_goes_on_and_stays_there(tmp_path: Path) -> None:
    assert not take_over(tmp_path, "ab", "one").exists()
    take_over(tmp_path, "ab", "one").write_bytes(b"epoch 1")
    take_over(tmp_path, "cd", "one").write_bytes(b"another cell")
    mine = take_over(tmp_path, "ab", "two")
    assert mine.read_bytes() == b"epoch 1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ab-two.safetensors", "cd-one.safetensors"]
    (tmp_path / "ab-one.safetensors").write_bytes(b"epoch 2")  # the other run wakes: it was not dead
    assert take_over(tmp_path, "ab", "two").read_bytes() == b"epoch 1"  # begun again, as its worker was lost


def test_of_several_states_the_newest_is_taken(tmp_path: Path) -> None:
    for time, run in enumerate(("b", "c", "a"), 1):
        path = tmp_path / f"ab-{run}.safetensors"
        path.write_text(run)
        os.utime(path, (time, time))
    assert take_over(tmp_path, "ab", "d").read_text() == "a"
    drop(tmp_path, "ab", "d")
    drop(tmp_path, "ab", "d")
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_ends_leaves_states_of_cells_that_it_did_not_finish(tmp_path: Path) -> None:
    with opened(tmp_path, create=True) as store:
        run = begun(store)
        for cell in (F, G):
            state = store.task(cell, run).progress
            state.parent.mkdir(exist_ok=True)
            state.write_bytes(cell.key.encode())
        store.commit(run, [Ended(F.key, 1.0, Result())])
        store.end(run)
        other = store.begin({})
        store.lease(other, [G.key])
        assert store.task(G, other).progress.read_bytes() == G.key.encode()
        assert left(tmp_path) == {f"{G.key}-{other}.safetensors": G.key.encode()}


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        (Ended(F.key, 1.0, Result()), False),
        (Ended(F.key, 1.0, error="epoch 3: expected a finite loss, got nan"), False),
        (Ended(F.key, 1.0, lost=True), True),
        (Ended(F.key, 1.0, lost=True, error="lost its process 3 times"), True),
    ],
)
def test_a_cell_that_was_lost_goes_on_and_one_that_failed_begins_anew(tmp_path: Path, end: Ended, kept: bool) -> None:
    with opened(tmp_path, create=True) as store:
        run = begun(store)
        state = store.task(F, run).progress
        state.parent.mkdir()
        state.write_bytes(b"epoch 1")
        store.commit(run, [end])
        assert state.exists() == kept


def test_sweeping_leaves_what_a_cell_can_go_on_from_and_what_is_being_written(tmp_path: Path) -> None:
    with opened(tmp_path, create=True) as store:
        run = begun(store)
        store.commit(run, [Ended(F.key, 1.0, Result())])
        useful = [f"{G.key}-dead.safetensors", f".{G.key}-{run}.safetensors.x1.part", f"{F.key}-{run}.safetensors"]
        useless = [f"{F.key}-dead.safetensors", f".{G.key}-dead.safetensors.x2.part", f"{'0' * 32}-dead.safetensors"]
        (tmp_path / "progress").mkdir()
        for name in (*useful, *useless):
            (tmp_path / "progress" / name).write_bytes(b"12345")
        told = sweep(store, pretend=True)
        assert len(left(tmp_path)) == 6
        assert sweep(store) == told
        assert (told.cells, told.files, told.bytes) == (0, 3, 15)
        assert sorted(left(tmp_path)) == sorted(useful)
        store.end(run)
        store.add_study("two", {}, [], [])  # no study needs the cells any more
        assert sweep(store, pretend=True).files == 3
        assert sweep(store).cells == 2
        assert left(tmp_path) == {}
