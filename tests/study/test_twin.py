"""Cells that come to the same are done once, and every other result is what it would have been."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.study import toy
from windfirm.errors import InputError
from windfirm.study import listing
from windfirm.study.cell import Cell
from windfirm.study.local import InProcess, Workers
from windfirm.study.schedule import Board
from windfirm.study.store import Place, opened
from windfirm.study.twin import Twin, adopt, twin
from windfirm.study.upkeep import forget, verify
from windfirm.study.work import Executor, Result, Task

SPEC = "tests.study.test_twin:executors"


def executors(device: str) -> Mapping[str, Executor]:
    return {"toss": toss, "grow": grow, "measure": toy.measure}


def toss(task: Task) -> Result:
    """A file that says what the coin says, whatever the coin."""
    task.new("network.bin").write_text(task.settings["says"])
    return Result({"macs": 100, "params": 10})


def grow(task: Task) -> Result:
    """Adds a line to the list of what was done; a network that says so does not grow."""
    with Path(task.settings["log"]).open("a") as log:
        log.write(f"{task.key}\n")
    if task.input("network", "network.bin").read_bytes() == b"fail":
        raise InputError("it does not grow")
    return toy.grow(task)


def cells(log: Path, *says: str) -> list[Cell]:
    """For each coin a chain of four: tossed, grown twice, and measured."""
    found: list[Cell] = []
    for number, word in enumerate(says):
        made = [Cell("toss", {"coin": number, "says": word})]
        for step in (1, 2):
            made.append(Cell("grow", {"log": str(log), "round": step}, {"network": made[-1].key}))
        found += [*made, Cell("measure", {"eps": 0.25}, {"network": made[-1].key})]
    return found


def grown(log: Path) -> int:
    return len(log.read_text().splitlines())


def results(folder: Path, found: list[Cell]) -> list[tuple[object, ...]]:
    """What there is of each cell, beside its key and the time it took."""
    dumped = [tuple(entry) for entry in toy.dump(folder)]
    return [entry[1:] for cell in found for entry in dumped if entry[0] == cell.key]


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("url", [False, True])
def test_what_follows_equal_networks_is_done_once(tmp_path: Path, count: int, url: bool) -> None:
    """Three at a time, all twins are ready at once."""
    found, log, folder = cells(tmp_path / "log", *"HTH"), tmp_path / "log", tmp_path / "store"
    engine = Workers(SPEC, count, folder / "logs") if count else InProcess(SPEC)
    board = toy.run(folder, found, engine, url=str(tmp_path / "far") if url else None)
    assert +board.counts == {"done": len(found)}
    assert grown(log) == 4  # two for heads, two for tails
    first, tails, third = found[:4], found[4:8], found[8:]
    assert results(folder, third) == results(folder, first) != results(folder, tails)
    with opened(folder) as store:
        assert verify(store) == []
        known = {entry.key: entry for entry in listing.shown(store)}
    one, two = (known[chain[1].key] for chain in (first, third))
    assert {one.seconds is None, two.seconds is None} == {True, False}
    adopted, other = (one, two) if one.seconds is None else (two, one)
    assert adopted.facts == {**other.facts, "twin": other.key}


def test_the_time_of_a_study_is_that_of_the_twins_that_worked_for_it(tmp_path: Path) -> None:
    """A second chain takes the results of the first, a third those of the first or the second."""
    found = cells(tmp_path / "log", *"HHH")
    for stop in (4, 8, 12):
        toy.run(tmp_path / "store", found[:stop], InProcess(SPEC))
    with opened(tmp_path / "store") as store:
        store.add_study("last", {}, found[8:], [Place(found[-1].key, "F", {}, 0)])
        known = {entry.key: entry for entry in listing.shown(store)}
        (row,) = listing.measured(store, "last")
    assert [known[cell.key].facts.get("twin") for cell in found[8:]] == [None, *(cell.key for cell in found[1:4])]
    worked = [found[8], *found[1:4]]
    assert row.spent == pytest.approx(sum(known[cell.key].seconds or 0.0 for cell in worked))


@pytest.mark.parametrize("lost", [1, 2])
def test_a_twin_that_is_forgotten_meanwhile_is_none(tmp_path: Path, lost: int) -> None:
    """Between the look and the lease: the twin itself, or what both start from."""
    found = cells(tmp_path / "log", *"HH")
    toy.run(tmp_path, found[:4], InProcess(SPEC))
    toy.run(tmp_path, [*found[:4], *found[4:6]], InProcess(SPEC))
    with opened(tmp_path) as store:
        store.add_study("toy", {}, found, [])
        run, cell = store.begin({}), found[6]
        known = twin(store, cell)
        assert known == Twin(found[2].key, done=True)
        store.lease(run, [cell.key])
        forget(store, {found[lost].key})
        assert not adopt(store, cell, known, run)
        assert (store.states([cell.key])[cell.key].state, store.files(cell.key)) == ("running", {})
        forget(store, {found[5].key})
        assert twin(store, cell) is None


def test_another_run_takes_results_and_says_on_what_they_were_made(tmp_path: Path) -> None:
    found, log, folder = cells(tmp_path / "log", *"HH"), tmp_path / "log", tmp_path / "store"
    toy.run(folder, found[:4], InProcess(SPEC))
    toy.run(folder, found, InProcess(SPEC))
    assert grown(log) == 2
    with opened(folder) as store:
        runs = [store.states([cell.key])[cell.key].run for cell in found]
    first, second = runs[0], runs[4]
    assert runs == [first] * 4 + [second] + [first] * 3  # the second run tossed the coin itself


def test_other_bytes_settings_or_kinds_are_no_twins(tmp_path: Path) -> None:
    log = tmp_path / "log"
    found = cells(log, "H", "T")
    found.append(Cell("grow", {"log": str(log), "round": 3}, {"network": found[0].key}))
    found.append(Cell("grow", {"log": str(log), "round": 1}, {"network": found[0].key, "first": found[0].key}))
    toy.run(tmp_path / "store", found, InProcess(SPEC))
    assert grown(log) == 6


def test_a_cell_whose_twin_fails_is_tried_itself(tmp_path: Path) -> None:
    found, log = cells(tmp_path / "log", "fail", "fail"), tmp_path / "log"
    board = toy.run(tmp_path / "store", found, Workers(SPEC, 2, tmp_path / "logs"))
    assert +board.counts == {"done": 2, "failed": 2, "blocked": 4}
    assert grown(log) == 2


def test_a_damaged_result_is_not_taken_over(tmp_path: Path) -> None:
    found, log, folder = cells(tmp_path / "log", *"HH"), tmp_path / "log", tmp_path / "store"
    toy.run(folder, found[:4], InProcess(SPEC))
    with opened(folder) as store:
        store.path(found[2].key, "network.bin").write_bytes(b"damaged")
    board: Board = toy.run(folder, found, InProcess(SPEC))
    assert +board.counts == {"done": len(found)}
    assert grown(log) == 3  # the second of the second chain anew
    with opened(folder) as store:
        assert {damage.cell for damage in verify(store)} == {found[2].key}
