"""Which cells can start, by what is known of the others. Pure: no clock, no disk, no processes."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Literal

from windfirm.study.cell import Cell, in_order

#: waiting: for inputs. ready: can start. running: here; elsewhere: see Board.elsewhere. blocked: an input failed.
Progress = Literal["waiting", "ready", "running", "elsewhere", "done", "failed", "blocked"]

#: Cells that nothing more is done about.
SETTLED: tuple[Progress, ...] = ("done", "failed", "blocked")

#: How often a cell is begun whose process is lost every time.
TRIES = 3


class Board:
    """The cells of a study and how far each is.

    Ready cells are handed out by the longest way to the end that hangs on them, by ``weight`` (seconds, or 1 for all):
    so a long chain is not begun last. One cell that fails blocks those that need it, and no other.
    """

    def __init__(
        self, cells: Iterable[Cell], done: Collection[str] = (), weight: Callable[[Cell], float] = lambda cell: 1.0
    ) -> None:
        ordered = in_order(cells)
        self.cells: Mapping[str, Cell] = {cell.key: cell for cell in ordered}
        self.progress: dict[str, Progress] = {}
        self.errors: dict[str, str] = {}
        self.counts: Counter[Progress] = Counter()
        self._users: defaultdict[str, list[str]] = defaultdict(list)
        self._missing: dict[str, int] = {}
        self._losses: Counter[str] = Counter()
        self._heap: list[tuple[float, int, str]] = []
        self._rank: dict[str, tuple[float, int]] = {}
        for cell in ordered:
            for key in set(cell.inputs.values()):
                self._users[key].append(cell.key)
        length: dict[str, float] = {}
        for number, cell in zip(range(len(ordered), 0, -1), reversed(ordered), strict=True):
            length[cell.key] = weight(cell) + max((length[user] for user in self._users[cell.key]), default=0.0)
            self._rank[cell.key] = (-length[cell.key], number)
        for cell in ordered:
            self._missing[cell.key] = len({key for key in cell.inputs.values() if key not in done})
            self._set(cell.key, "done" if cell.key in done else "waiting")
        for cell in ordered:
            self._maybe_ready(cell.key)

    @property
    def settled(self) -> bool:
        """Whether nothing is left that could be done."""
        return sum(self.counts[progress] for progress in SETTLED) == len(self.cells)

    def take(self, count: int) -> list[Cell]:
        """Up to ``count`` ready cells, the most urgent first; for each one of the methods below is next."""
        taken: list[Cell] = []
        while self._heap and len(taken) < count:
            key = heapq.heappop(self._heap)[2]
            if self.progress[key] == "ready":
                taken.append(self.cells[key])
        return taken

    def begin(self, key: str) -> None:
        """The cell is being done here."""
        self._set(key, "running")

    def elsewhere(self, key: str) -> None:
        """Another run has the cell, or somebody its twin."""
        self._set(key, "elsewhere")

    def again(self, key: str) -> None:
        """The cell can be begun anew."""
        self._set(key, "waiting")
        self._maybe_ready(key)

    def done(self, key: str) -> None:
        """The cell is done; those that waited for it alone are ready."""
        if self.progress[key] == "done":
            return
        self._set(key, "done")
        for user in self._users[key]:
            self._missing[user] -= 1
            self._maybe_ready(user)

    def fail(self, key: str, error: str) -> None:
        """The cell failed, and what needs it cannot be done."""
        self._set(key, "failed")
        self.errors[key] = error
        left = list(self._users[key])
        while left:
            user = left.pop()
            if self.progress[user] in ("waiting", "ready"):
                self._set(user, "blocked")
                left += self._users[user]

    def lose(self, key: str) -> bool:
        """The process that did the cell is gone; whether the cell may be begun again."""
        self._losses[key] += 1
        if self._losses[key] >= TRIES:
            return False
        self.again(key)
        return True

    def where(self, progress: Progress) -> list[str]:
        """The keys of the cells that are so far, inputs before their users."""
        return [key for key, found in self.progress.items() if found == progress]

    def _maybe_ready(self, key: str) -> None:
        if self.progress[key] == "waiting" and not self._missing[key]:
            self._set(key, "ready")
            heapq.heappush(self._heap, (*self._rank[key], key))

    def _set(self, key: str, progress: Progress) -> None:
        if key in self.progress:
            self.counts[self.progress[key]] -= 1
        self.progress[key] = progress
        self.counts[progress] += 1
