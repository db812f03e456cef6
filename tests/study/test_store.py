import hashlib
import os
import signal
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.study import toy
from windfirm.errors import StoreError
from windfirm.study import database, lease, listing, schema
from windfirm.study.cell import Cell
from windfirm.study.store import NAME, Place, Store, opened
from windfirm.study.upkeep import forget, sweep, verify
from windfirm.study.work import Ended, File, Result

F = Cell("train", {"seed": 0})
CLEAN = Cell("attack", {"attack": "clean"}, {"network": F.key})
ROW = toy.row(hashlib.sha256(b"row").digest(), 0.5)


def added(store: Store) -> str:
    """The id of a run on a store that knows F and its measurement, as the study "one"."""
    store.add_study("one", {"name": "one"}, [F, CLEAN], [Place(CLEAN.key, "F", {"arch": "toy"}, 0)])
    return store.begin({"hardware": "here"})


def finished(store: Store, run: str, cell: Cell, content: bytes | None = None, *rows: dict[str, object]) -> None:
    """Lease ``cell`` and finish it, with a file and rows."""
    store.lease(run, [cell.key])
    files = {}
    if content is not None:
        path = store.incoming(run) / cell.key / "model.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        files["model.safetensors"] = File(path, hashlib.sha256(content).hexdigest(), len(content))
    store.commit(run, [Ended(cell.key, 2.0, Result({"macs": 7, "params": 3}, rows), files)])


def test_rows_tell_what_was_put_over_the_file_of_their_study(tmp_path: Path) -> None:
    with opened(tmp_path, create=True) as store:
        finished(store, added(store), F)
        finished(store, store.begin({"hardware": "here"}), CLEAN, None, ROW)
        assert [row.about for row in listing.measured(store)] == [{"hardware": "here"}]
        places = [Place(CLEAN.key, "F", {"arch": "toy"}, 0)]
        store.add_study("two", {"name": "two", "changes": "prune.rounds=3"}, [F, CLEAN], places)
        (row,) = listing.measured(store, "two")
    assert row.about == {"changes": "prune.rounds=3", "hardware": "here"}


def test_a_store_that_another_run_is_making_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sqlite3.connect(tmp_path / NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waited = []

    def done(seconds: float) -> None:
        waited.append(seconds)
        other.execute("COMMIT")
        other.close()

    monkeypatch.setattr("windfirm.study.store.time.sleep", done)
    with opened(tmp_path, create=True) as store:
        assert listing.studies(store) == []
    assert len(waited) == 1


def test_only_for_its_turn_is_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def execute(self, statement: str) -> None:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

    monkeypatch.setattr("windfirm.study.store.time.sleep", lambda seconds: pytest.fail("waited"))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        database.write_ahead(Full())  # type: ignore[arg-type]


def complaint(folder: Path) -> str:
    with pytest.raises(StoreError) as error, opened(folder):
        pass
    return str(error.value)


def test_rows_and_files_come_back_as_they_were(tmp_path: Path) -> None:
    with opened(tmp_path, create=True) as store:
        run = added(store)
        finished(store, run, F, b"weights")
        finished(store, run, CLEAN, None, ROW)
    with opened(tmp_path) as store:
        (entry,) = listing.measured(store, "one")
        assert entry == listing.Measured(
            "one", "F", {"arch": "toy"}, 0, ROW, 7, 3, CLEAN.key, F.key, 2.0, {"hardware": "here"}, 4.0
        )
        path = store.files(F.key)["model.safetensors"].checked()
        assert path == tmp_path / "artifacts" / F.key[:2] / f"{F.key}-model.safetensors"
        assert path.read_bytes() == b"weights"
        assert verify(store) == []


def test_rows_tell_what_their_seed_of_the_study_took_each_cell_once(tmp_path: Path) -> None:
    other = Cell("attack", {"attack": "clean", "seed": 1}, {"network": F.key})
    places = [Place(CLEAN.key, "F", {"at": at}, 0) for at in (1, 2)] + [Place(other.key, "F", {"at": 1}, 1)]
    with opened(tmp_path, create=True) as store:
        store.add_study("one", {"name": "one"}, [F, CLEAN, other], places)
        run = store.begin({"hardware": "here"})
        for cell, seconds in ((F, 100.0), (CLEAN, 20.0), (other, 3.0)):
            store.commit(run, [Ended(cell.key, seconds, Result({}, [] if cell is F else [ROW]))])
        took = {(entry.seed, entry.seconds, entry.spent) for entry in listing.measured(store, "one")}
    assert took == {(0, 20.0, 120.0), (1, 3.0, 103.0)}


def test_a_cell_belongs_to_one_run_and_the_first_to_finish_it_wins(tmp_path: Path) -> None:
    with opened(tmp_path, create=True) as store, opened(tmp_path) as other:
        mine, theirs = added(store), other.begin({})
        assert store.lease(mine, [F.key]) == [F.key]
        assert other.lease(theirs, [F.key, CLEAN.key]) == [CLEAN.key]
        finished(other, theirs, F, b"theirs")  # they took us for dead
        finished(store, mine, F, b"mine")
        assert store.files(F.key)["model.safetensors"].checked().read_bytes() == b"theirs"


def test_two_studies_share_a_cell_and_its_work(tmp_path: Path) -> None:
    with opened(tmp_path, create=True) as store:
        run = added(store)
        finished(store, run, F)
        finished(store, run, CLEAN, None, ROW)
        store.add_study("two", {"name": "two"}, [F, CLEAN], [Place(CLEAN.key, "control", {}, 3)])
        one, two = listing.studies(store)
        assert (one.name, dict(one.cells), one.rows) == ("one", {"done": 2}, 1)
        assert (two.name, dict(two.cells), two.rows) == ("two", {"done": 2}, 1)
        (entry,) = listing.measured(store, "two")
        assert (entry.role, entry.seed, entry.row) == ("control", 3, ROW)


def test_cells_of_a_killed_run_wait_again_and_those_of_a_live_one_do_not(tmp_path: Path) -> None:
    with opened(tmp_path, create=True) as store:
        run = added(store)
        store.lease(run, [F.key])
        assert store.reclaim() == 0  # this process is alive
        assert store.states([F.key])[F.key].state == "running"
        store.db.execute("UPDATE runs SET born = 'earlier'")  # another process had this number
        assert store.reclaim() == 1
        assert store.states([F.key])[F.key].state == "waiting"


def test_a_run_on_another_machine_is_dead_after_a_minute_without_a_sign_of_life() -> None:
    there = lease.Owner("elsewhere pid:[1]", 1, "")
    assert lease.is_alive(there, beat=100.0, now=159.9)
    assert not lease.is_alive(there, beat=100.0, now=160.1)


def test_a_run_that_was_taken_for_dead_and_works_on_is_alive_again(tmp_path: Path) -> None:
    with opened(tmp_path, create=True) as store:
        run = added(store)
        store.db.execute("UPDATE runs SET host = 'elsewhere', beat = beat - 100")
        store.reclaim()
        store.beat(run)
        store.lease(run, [F.key])
        assert store.reclaim() == 0
        store.db.execute("UPDATE runs SET beat = beat - 100")  # now it was killed
        assert store.reclaim() == 1
        assert store.states([F.key])[F.key].state == "waiting"


def test_a_failed_cell_keeps_its_error_and_waits_when_its_study_is_run_again(tmp_path: Path) -> None:
    with opened(tmp_path, create=True) as store:
        run = added(store)
        store.lease(run, [F.key])
        store.commit(run, [Ended(F.key, 1.0, error="epoch 3: expected a finite loss, got nan", trace="…")])
        (shown,) = listing.shown(store, key=F.key[:6])
        assert (shown.state, shown.error) == ("failed", "epoch 3: expected a finite loss, got nan")
        added(store)
        assert store.states([F.key])[F.key].state == "waiting"


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path, create=True) as store:
        store.db.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
    before = (tmp_path / NAME).read_bytes()
    newer = f"version {schema.VERSION + 1}; a newer Windfirm may read it"
    wanted = f"expected a store of version {schema.VERSION}, got {newer}"
    assert complaint(tmp_path) == f"{tmp_path / NAME}: {wanted}"
    assert (tmp_path / NAME).read_bytes() == before


def test_folders_that_hold_no_store_are_named(tmp_path: Path) -> None:
    assert complaint(tmp_path) == f"{tmp_path}: expected the folder of a study, with a study.sqlite, got none"
    (tmp_path / NAME).write_bytes(b"not a database, but long enough to be taken for one" * 20)
    assert complaint(tmp_path) == f"{tmp_path / NAME}: expected an undamaged database, got file is not a database"


def test_another_database_is_not_taken_over(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / NAME)
    db.execute("CREATE TABLE theirs (x)")
    db.close()
    assert complaint(tmp_path) == f"{tmp_path / NAME}: expected a store of Windfirm, got another database"


def test_a_full_disk_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    with opened(tmp_path, create=True) as store:
        run = added(store)
        finished(store, run, F, b"weights")
        store.lease(run, [CLEAN.key])
        pages = store.db.execute("PRAGMA page_count").fetchone()[0]
        store.db.execute(f"PRAGMA max_page_count = {pages}")  # from here on the disk is full
        large = {**ROW, "title": "x" * 100_000}
        with pytest.raises(StoreError) as error:
            store.commit(run, [Ended(CLEAN.key, 1.0, Result({}, [large]))])
    wanted = "expected room on the disk; all finished cells are safe, got database or disk is full"
    assert str(error.value) == f"{tmp_path / NAME}: {wanted}"
    with opened(tmp_path) as store:
        states = store.states([F.key, CLEAN.key])
        assert (states[F.key].state, states[CLEAN.key].state) == ("done", "running")
        assert list(listing.measured(store)) == []
        assert verify(store) == []


def test_a_store_that_another_process_holds_for_too_long_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("windfirm.study.database.PATIENCE", 0.001)
    with opened(tmp_path, create=True) as store, opened(tmp_path) as other, other.writing():
        with pytest.raises(StoreError) as error:
            store.begin({})
        wanted = "expected its turn to write within 0 s, got database is locked"
        assert str(error.value) == f"{tmp_path / NAME}: {wanted}"
    with opened(tmp_path) as store:
        assert store.begin({})


def test_a_damaged_file_is_told_and_its_cell_can_be_done_anew(tmp_path: Path) -> None:
    with opened(tmp_path, create=True) as store:
        run = added(store)
        finished(store, run, F, b"weights")
        finished(store, run, CLEAN, None, ROW)
        path = store.path(F.key, "model.safetensors")
        path.write_bytes(b"weighty")
        sums = [hashlib.sha256(content).hexdigest() for content in (b"weights", b"weighty")]
        words = f"{path}: expected SHA-256 {sums[0]}, got {sums[1]}: the file was damaged"
        with pytest.raises(StoreError) as error:
            store.task(CLEAN, run).input("network", "model.safetensors")
        assert str(error.value) == words
        (damage,) = verify(store)
        assert (damage.cell, damage.words) == (F.key, words)
        forget(store, {F.key})
        assert store.states([F.key])[F.key].state == "waiting"
        assert len(list(listing.measured(store))) == 1
        finished(store, run, F, b"weights")
        assert verify(store) == []


def test_a_damaged_row_is_told(tmp_path: Path) -> None:
    with opened(tmp_path, create=True) as store:
        run = added(store)
        finished(store, run, F)
        finished(store, run, CLEAN, None, ROW)
        store.db.execute("UPDATE outcomes SET count = count + 1")
        (damage,) = verify(store)
    right = ROW["count"]
    assert isinstance(right, int)
    assert damage.words == f"row 0 of cell {CLEAN.key}: expected {right + 1} right predictions, got {right}"


def test_sweeping_removes_what_no_study_needs_and_nothing_else(tmp_path: Path) -> None:
    with opened(tmp_path, create=True) as store:
        run = added(store)
        finished(store, run, F, b"weights")
        finished(store, run, CLEAN, b"not needed", ROW)
        lost = tmp_path / "artifacts" / "00" / "left-by-a-kill"
        lost.parent.mkdir(exist_ok=True)
        lost.write_bytes(b"12345")
        store.add_study("one", {}, [F], [])  # the study has changed
        told = sweep(store, pretend=True)
        assert lost.exists()
        assert sweep(store) == told
        assert (told.cells, told.files, told.bytes) == (1, 2, 5 + len(b"not needed"))
        assert sorted(path.name for path in tmp_path.glob("artifacts/*/*")) == [f"{F.key}-model.safetensors"]
        assert list(store.states([F.key, CLEAN.key])) == [F.key]
        assert verify(store) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="a kernel that does not tell")
def test_a_run_that_was_killed_is_dead_also_while_nobody_has_asked_what_became_of_it() -> None:
    pid = os.fork()
    if not pid:
        time.sleep(60)
        os._exit(0)
    owner = replace(lease.myself(), pid=pid, born=lease._born(pid))
    assert lease.is_alive(owner, beat=0.0, now=0.0)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not lease.is_alive(owner, beat=0.0, now=0.0)
    os.waitpid(pid, 0)
