"""What ``windfirm run`` says while it works: cells done, running and failed, the time left, the last result."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from windfirm.attack.budget import show_eps
from windfirm.console import Tick
from windfirm.report.words import duration
from windfirm.study.cell import Cell
from windfirm.study.estimate import Estimate
from windfirm.study.schedule import SETTLED, Board
from windfirm.study.work import Ended

#: How a setting is said where its value alone would not do.
SAID: Mapping[str, Callable[[Any], str]] = {"round": "round {}".format, "seed": "seed {}".format, "eps": show_eps}


def telling(board: Board, estimate: Estimate, workers: int, tick: Tick) -> Callable[[Board, Sequence[Ended]], None]:
    """A function for drive that calls ``tick`` after each commit."""
    ahead = _Ahead(board, estimate)
    last = ""

    def tell(board: Board, ended: Sequence[Ended]) -> None:
        nonlocal last
        for end in ended:
            if end.result is not None or end.error is not None:
                ahead.over(end)
                last = words(board.cells[end.key], end)
        counts = board.counts
        parts = [f"{counts[name]} {name}" for name in ("running", "elsewhere", "failed", "blocked") if counts[name]]
        seconds, more = ahead.seconds()
        if not board.settled and (seconds >= 1 or not more):
            parts.append(f"{'more than ' if more else ''}{duration(seconds / max(1, workers))} left")
        tick(counts["done"], len(board.cells), "; ".join(filter(None, [", ".join(parts), last])))

    return tell


class _Ahead:
    """The work ahead, cell by cell; those without an estimate take their kind's mean in this run."""

    def __init__(self, board: Board, estimate: Estimate) -> None:
        self.board = board
        self.estimates = {key: estimate(cell) for key, cell in board.cells.items() if board.progress[key] != "done"}
        self.ended: Counter[str] = Counter()
        self.spent: dict[str, float] = defaultdict(float)

    def over(self, end: Ended) -> None:
        kind = self.board.cells[end.key].kind
        self.ended[kind] += 1
        self.spent[kind] += end.seconds

    def seconds(self) -> tuple[float, bool]:
        """As far as it can be told, and whether there is more: cells of a kind of which none has ended."""
        known, unknown = 0.0, Counter[str]()
        for key, value in self.estimates.items():
            if self.board.progress[key] in SETTLED:
                continue
            if value is None:
                unknown[self.board.cells[key].kind] += 1
            else:
                known += value
        means = {kind: self.spent[kind] / count for kind, count in self.ended.items()}
        told = known + sum(count * means[kind] for kind, count in unknown.items() if kind in means)
        return told, any(kind not in means for kind in unknown)


def total(seconds: Iterable[float | None], workers: int) -> float | None:
    """How long it takes ``workers`` to do cells of so many seconds; None when one is not known."""
    found = list(seconds)
    if any(value is None for value in found):
        return None
    return sum(value for value in found if value is not None) / max(1, workers)


def words(cell: Cell, ended: Ended | None = None) -> str:
    """A cell in a few words, and how it ended."""
    said = f"{cell.kind} {_which(cell.kind, cell.settings)}".strip()
    if ended is None:
        return said
    if ended.result is None:
        return f"{said} failed: {ended.error}"
    rows = [f"{row['count']:,} of {row['total']:,} right" for row in ended.result.rows]
    return ": ".join([said, *rows])


def _which(kind: str, s: Any) -> str:
    """What tells a cell from others of its kind."""
    names = {
        "open": ("arch",),
        "train": ("arch", "seed"),
        "prune": ("structure", "criterion", "round", "seed"),
        "adjust": ("name", "round", "seed"),
        "attack": ("attack", "eps", "seed"),
    }.get(kind, ())
    return ", ".join(SAID.get(name, str)(s[name]) for name in names if s.get(name) is not None)
