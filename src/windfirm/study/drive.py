"""The driver of a run: leases cells, hands them to an engine, commits what comes back. It alone writes the store."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Protocol

from windfirm.errors import expected
from windfirm.study.cell import Cell
from windfirm.study.lease import beating
from windfirm.study.schedule import TRIES, Board
from windfirm.study.store import Store, opened
from windfirm.study.twin import adopt, twin
from windfirm.study.work import Ended, Task

#: Seconds after which a driver that waits looks whether other runs have finished cells, and whether they have died.
POLL, WATCH = 0.2, 2.0


class Engine(Protocol):
    """Does tasks, a few at a time."""

    @property
    def free(self) -> int:
        """How many more tasks it takes now."""

    def submit(self, task: Task) -> None:
        """Take one; at most ``free``."""

    def wait(self, seconds: float) -> Sequence[Ended]:
        """Those that ended since, at the latest after ``seconds`` where it can be interrupted."""

    def close(self) -> None:
        """Stop, whatever is at work."""


#: Called with the board and what just ended, after each commit.
Tell = Callable[[Board, Sequence[Ended]], None]


def drive(store: Store, run: str, board: Board, engine: Engine, tell: Tell = lambda board, ended: None) -> None:
    """Do every cell of ``board`` that can be done, and leave the board settled. The engine is closed at the end.

    ``run`` is what Store.begin returned; it is ended here. Raises StoreError when the store fails.
    """

    def sign() -> None:
        with opened(store.folder) as own:  # a connection belongs to its thread
            own.beat(run)

    try:
        with beating(sign), closing(engine):
            _loop(store, run, board, engine, tell)
    finally:
        store.end(run)


def _loop(store: Store, run: str, board: Board, engine: Engine, tell: Tell) -> None:
    ended: Sequence[Ended] = ()
    seen, watched = -1, 0.0
    while True:
        ended = [_noted(board, end) for end in ended]
        if ended:
            store.commit(run, ended)
        while cells := board.take(engine.free):  # some take no room: they wait for a twin, or have its result
            for cell in cells:
                _begin(store, run, board, engine, cell)
        tell(board, ended)
        if board.settled:
            return
        ended = engine.wait(POLL)
        if not board.counts["elsewhere"]:
            continue
        if ended:
            seen = -1  # one of them may be what a cell waits for
        if time.monotonic() - watched >= WATCH:
            watched, seen = time.monotonic(), -1
            store.reclaim()
        if (version := store.version()) != seen:
            seen = version
            _look(store, board)


def _begin(store: Store, run: str, board: Board, engine: Engine, cell: Cell) -> None:
    """Have a cell done, unless somebody is at it or at its twin; a twin that is done gives its result."""
    same = twin(store, cell)
    if (same and not same.done) or not store.lease(run, [cell.key]):
        board.elsewhere(cell.key)
    elif same and adopt(store, cell, same, run):
        board.done(cell.key)
    else:
        board.begin(cell.key)
        engine.submit(store.task(cell, run))


def _noted(board: Board, end: Ended) -> Ended:
    """``end``, noted on the board; a cell that was lost too often has failed."""
    if end.lost and not board.lose(end.key):
        end = replace(end, error=f"lost its process {TRIES} times; the last time: {end.trace}", trace=None)
    if end.result is not None:
        board.done(end.key)
    elif end.error is not None:
        board.fail(end.key, end.error)
    return end


def _look(store: Store, board: Board) -> None:
    """Note what other runs have done with the cells that they had."""
    keys = board.where("elsewhere")
    states = store.states(keys)
    for key in keys:
        state = states.get(key)
        if state is None:
            got = "none, as the study was changed and swept meanwhile"
            board.fail(key, expected("the store", "the cell", got))
        elif state.state == "done":
            board.done(key)
        elif state.state == "failed":
            board.fail(key, state.error or "")
        elif state.state == "waiting":
            board.again(key)
