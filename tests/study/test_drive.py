import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from tests.study import toy
from windfirm.errors import InputError
from windfirm.study import listing
from windfirm.study.cell import Cell
from windfirm.study.local import InProcess, Workers, cores
from windfirm.study.perform import perform
from windfirm.study.schedule import TRIES
from windfirm.study.store import Store, opened
from windfirm.study.upkeep import sweep
from windfirm.study.work import Ended, Executor, Result, Task

SPEC = "tests.study.test_drive:executors"


def executors(device: str) -> Mapping[str, Executor]:
    return {"tell": tell, "fail": fail, "stumble": stumble, "die": die, "crash": crash, "misname": misname}


def tell(task: Task) -> Result:
    print("what a cell prints is no answer")  # noqa: T201
    return Result({"pid": os.getpid(), "threads": os.environ.get("OMP_NUM_THREADS"), "device": task.settings.get("d")})


def fail(task: Task) -> Result:
    raise InputError("layer1: expected a ratio in [0, 1), got 1.2")


def misname(task: Task) -> Result:
    raise InputError("caf\udce9: expected images, got none")


def crash(task: Task) -> Result:
    return Result({"value": 1 / 0})


def die(task: Task) -> Result:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def stumble(task: Task) -> Result:
    """Dies the first time."""
    mark = Path(task.settings["mark"])
    if not mark.exists():
        mark.touch()
        die(task)
    return Result({"tries": 2})


def workers(folder: Path, count: int) -> Workers:
    return Workers(SPEC, count, folder / "logs")


def facts(folder: Path) -> dict[str, Mapping[str, object]]:
    with opened(folder) as store:
        return {shown.kind: shown.facts for shown in listing.shown(store)}


def test_a_cell_that_fails_stops_no_other_and_its_error_is_kept(tmp_path: Path) -> None:
    bad, worse = Cell("fail", {}), Cell("crash", {})
    cells = [bad, Cell("tell", {}, {"network": bad.key}), worse, Cell("tell", {"number": 2})]
    board = toy.run(tmp_path, cells, workers(tmp_path, 1))
    assert +board.counts == {"done": 1, "failed": 2, "blocked": 1}
    assert board.errors == {
        bad.key: "layer1: expected a ratio in [0, 1), got 1.2",
        worse.key: "ZeroDivisionError: division by zero",
    }
    with opened(tmp_path) as store:
        found = {shown.kind: shown for shown in listing.shown(store) if shown.state == "failed"}
    assert found["fail"].error == board.errors[bad.key]
    assert 'return Result({"value": 1 / 0})' in str(found["crash"].trace)


def test_workers_share_the_cores_and_what_cells_print_goes_to_their_logs(tmp_path: Path) -> None:
    cells = [Cell("tell", {"number": number}) for number in range(6)]
    toy.run(tmp_path, cells, workers(tmp_path, 2))
    with opened(tmp_path) as store:
        found = [shown.facts for shown in listing.shown(store)]
    assert len(found) == 6
    assert os.getpid() not in {entry["pid"] for entry in found}
    assert {entry["threads"] for entry in found} == {str(max(1, cores() // 2))}
    assert "what a cell prints is no answer" in "".join(path.read_text() for path in (tmp_path / "logs").iterdir())


def test_a_file_where_a_study_is_run_hides_none_of_pythons_own_from_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("queue", "random", "statistics"):
        (tmp_path / f"{name}.py").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, ""])  # as the command line leaves it
    board = toy.run(tmp_path / "study", [Cell("tell", {})], workers(tmp_path / "study", 1))
    assert +board.counts == {"done": 1}


def test_a_run_in_the_same_folder_that_ends_takes_nothing_from_another(tmp_path: Path) -> None:
    one, other = workers(tmp_path, 1), workers(tmp_path, 1)
    one.close()
    board = toy.run(tmp_path, [Cell("tell", {})], other)
    assert +board.counts == {"done": 1}


def test_an_error_that_speaks_of_a_name_that_is_no_text_fails_its_cell_alone(tmp_path: Path) -> None:
    board = toy.run(tmp_path, [Cell("misname", {}), Cell("tell", {})], InProcess(SPEC))
    assert +board.counts == {"done": 1, "failed": 1}
    assert set(board.errors.values()) == {"caf\\udce9: expected images, got none"}


def test_a_cell_whose_worker_is_killed_is_done_by_another(tmp_path: Path) -> None:
    board = toy.run(tmp_path, [Cell("stumble", {"mark": str(tmp_path / "mark")})], workers(tmp_path, 1))
    assert +board.counts == {"done": 1}
    assert facts(tmp_path)["stumble"] == {"tries": 2}


def test_half_an_answer_is_that_of_a_worker_that_was_killed(tmp_path: Path) -> None:
    engine = workers(tmp_path, 1)
    (worker,) = engine.workers
    worker.task = Task("3fa9", "tell", {}, {}, tmp_path, tmp_path)
    half = [sys.executable, "-c", "print('{\"key\": \"3f', end='')"]
    worker.process = subprocess.Popen(half, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    engine._listen(worker, worker.process)
    (ended,) = engine.wait(0)
    assert (ended.key, ended.lost, ended.trace) == ("3fa9", True, "exit code 0")


def test_a_cell_that_kills_every_worker_fails(tmp_path: Path) -> None:
    cell = Cell("die", {})
    board = toy.run(tmp_path, [cell], workers(tmp_path, 1))
    assert board.errors == {cell.key: f"lost its process {TRIES} times; the last time: signal 9"}
    with opened(tmp_path) as store:
        assert store.states([cell.key])[cell.key].error == board.errors[cell.key]


def test_an_interrupt_gives_the_cells_back_at_once(tmp_path: Path) -> None:
    class Interrupted:
        free = 1

        def submit(self, task: Task) -> None: ...

        def wait(self, seconds: float) -> Sequence[Ended]:
            raise KeyboardInterrupt

        def close(self) -> None: ...

    with pytest.raises(KeyboardInterrupt):
        toy.run(tmp_path, toy.cells(1), Interrupted())
    with opened(tmp_path) as store:
        assert [dict(entry.cells) for entry in listing.studies(store)] == [{"waiting": 8}]


def test_cells_that_another_run_finishes_meanwhile_are_taken_over(tmp_path: Path) -> None:
    """The other run, here in the engine's wait, has the first cell when ours begins."""
    cells = toy.cells(1)

    class Waiting(InProcess):
        def wait(self, seconds: float) -> Sequence[Ended]:
            if self.tasks:
                return super().wait(seconds)
            task = other.task(cells[0], theirs)
            other.commit(theirs, [perform(self.executors, task)])
            return ()

    with opened(tmp_path, create=True) as other:
        other.add_study("toy", {}, cells, [])
        theirs = other.begin({})
        assert other.lease(theirs, [cells[0].key]) == [cells[0].key]
        board = toy.run(tmp_path, cells, Waiting(toy.SPEC))
        assert +board.counts == {"done": 8}
        assert run_of(other, cells[0]) == theirs != run_of(other, cells[1])


def test_cells_that_are_swept_away_meanwhile_are_not_waited_for(tmp_path: Path) -> None:
    """The study is changed, and swept, in the engine's wait."""
    cells = toy.cells(1)

    class Sweeping(InProcess):
        def wait(self, seconds: float) -> Sequence[Ended]:
            with opened(tmp_path) as other:
                other.add_study("toy", {}, cells[:1], [])
                sweep(other)
            return super().wait(0)

    board = toy.run(tmp_path, cells, Sweeping(toy.SPEC))
    assert +board.counts == {"done": 1, "failed": 3, "blocked": 4}
    wanted = "the store: expected the cell, got none, as the study was changed and swept meanwhile"
    assert set(board.errors.values()) == {wanted}


def run_of(store: Store, cell: Cell) -> str | None:
    return store.states([cell.key])[cell.key].run


def test_engines_start_without_torch() -> None:
    """Each worker would take seconds longer to start, and so would a driver that has cells of no torch."""
    code = "import sys; from windfirm.study import local, on_ray, worker; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
