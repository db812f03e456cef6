"""What running a study costs beside its cells: seconds a cell, memory, opening a large store, and a thousand workers.

    python -m benchmarks.scheduling overhead --cells 10000
    python -m benchmarks.scheduling open --rows 1000000
    python -m benchmarks.scheduling speedup --cells 40
    python -m benchmarks.scheduling simulate --workers 1000 --chains 3000

``overhead`` runs cells that do nothing, in this process. ``simulate`` is a simulation and says so: the real driver,
scheduler and store, with an engine whose workers are numbers on a clock. The seconds that the driver really needs pass
on that clock too.
"""

import argparse
import hashlib
import heapq
import json
import os
import platform
import random
import resource
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from windfirm.study.cell import Cell
from windfirm.study.drive import drive
from windfirm.study.listing import studies
from windfirm.study.local import InProcess, Workers, cores
from windfirm.study.schedule import Board
from windfirm.study.store import opened
from windfirm.study.work import Ended, Executor, Result, Task

SPEC = "benchmarks.scheduling:executors"

#: Hashes that a cell of ``speedup`` computes: some tenths of a second on one thread.
WORK = 400_000


def executors(device: str) -> Mapping[str, Executor]:
    """Cells that do nothing, and cells that keep one core busy."""
    return {"nothing": lambda task: Result(), "busy": busy}


def busy(task: Task) -> Result:
    """Hash for a while."""
    value = b""
    for _ in range(WORK):
        value = hashlib.sha256(value).digest()
    return Result()


def overhead(count: int) -> None:
    """Seconds a cell for ``count`` cells in chains of eight, and how memory grows on the way."""
    cells: list[Cell] = []
    for number in range(count):
        inputs = {"network": cells[-1].key} if number % 8 else {}
        cells.append(Cell("nothing", {"number": number}, inputs))
    peaks: list[int] = []

    def tell(board: Board, ended: Sequence[Ended]) -> None:
        if board.counts["done"] in (count // 10, count):
            peaks.append(resident())

    with tempfile.TemporaryDirectory() as folder, opened(folder, create=True) as store:
        begun = time.perf_counter()
        store.add_study("overhead", {}, cells, [])
        added = time.perf_counter()
        drive(store, store.begin({}), Board(cells), InProcess(SPEC), tell)
        ended = time.perf_counter()
    each = 1000 * (ended - added) / count
    print(f"{count:,} cells that do nothing: noted in {added - begun:.2f} s, {each:.2f} ms a cell")
    print(f"memory after a tenth and at the end: {peaks[0] / 2**20:.1f} and {peaks[-1] / 2**20:.1f} MiB")


def open_large(rows: int) -> None:
    """Seconds to open a store with so many rows, and to tell how far its study is."""
    with tempfile.TemporaryDirectory() as folder:
        cells = [Cell("attack", {"number": number}) for number in range(rows // 100)]
        with opened(folder, create=True) as store:
            store.add_study("large", {}, cells, [])
            values = ("fgsm", "one step", 8 / 255, 1, 500, 1000, bytes(200))
            with store.writing() as db:
                db.executemany(
                    "INSERT INTO outcomes VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    ((cell.key, number, *values) for cell in cells for number in range(100)),
                )
        size = sum(path.stat().st_size for path in Path(folder).glob("study.sqlite*"))
        begun = time.perf_counter()
        with opened(folder) as store:
            opening = time.perf_counter() - begun
            studies(store)
            listing = time.perf_counter() - begun
            (count,) = store.db.execute("SELECT count(*) FROM outcomes").fetchone()
    print(f"{count:,} rows, {size / 2**20:.0f} MiB: open in {opening:.4f} s, studies listed after {listing:.4f} s")


def speedup(count: int) -> None:
    """How much faster two workers finish ``count`` cells of one thread than one does."""
    cells = [Cell("busy", {"number": number}) for number in range(count)]
    seconds = []
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder, opened(folder, create=True) as store:
            store.add_study("speedup", {}, cells, [])
            begun = time.perf_counter()
            drive(store, store.begin({}), Board(cells), Workers(SPEC, workers, Path(folder) / "logs"))
            seconds.append(time.perf_counter() - begun)
    one, two = seconds
    print(f"{count} cells: {one:.1f} s with one worker, {two:.1f} s with two: {one / two:.2f} times faster")


class Simulated:
    """Workers that are numbers on a clock. One cell in a hundred loses its worker at a random moment."""

    def __init__(self, workers: int, seconds: Mapping[str, float], losses: float, seed: int) -> None:
        self.workers, self.seconds, self.losses = workers, seconds, losses
        self.draw = random.Random(seed)
        self.now, self.useful, self.lost = 0.0, 0.0, 0
        self.at_work: list[tuple[float, int, Ended]] = []
        self.begun = 0
        self.left = time.perf_counter()  # when the driver had its turn last

    @property
    def free(self) -> int:
        return self.workers - len(self.at_work)

    def submit(self, task: Task) -> None:
        seconds = self.seconds[task.key]
        end = Ended(task.key, seconds, Result())
        if self.draw.random() < self.losses:
            seconds *= self.draw.random()
            end = Ended(task.key, seconds, lost=True, trace="simulated")
        self.begun += 1
        heapq.heappush(self.at_work, (self._time() + seconds, self.begun, end))

    def wait(self, seconds: float) -> Sequence[Ended]:
        self.now = max(self._time(), self.at_work[0][0])
        ended = []
        while self.at_work and self.at_work[0][0] <= self.now:
            ended.append(heapq.heappop(self.at_work)[2])
        for end in ended:
            self.lost += end.lost
            self.useful += 0.0 if end.lost else end.seconds
        self.left = time.perf_counter()
        return ended

    def close(self) -> None: ...

    def _time(self) -> float:
        """The clock: what the driver has used since it had its turn is over as well."""
        return self.now + time.perf_counter() - self.left


def simulate(workers: int, chains: int, losses: float, seed: int) -> None:
    """Efficiency on chains of train, three rounds of prune and adjust, and sixteen attacks; cells of minutes."""
    draw = random.Random(seed)
    minutes = {"train": (8, 16), "prune": (1, 2), "adjust": (2, 6), "attack": (1, 5)}
    cells: list[Cell] = []
    for chain in range(chains):
        f = cells_end = Cell("train", {"seed": chain})
        cells.append(f)
        for number in range(1, 4):
            for kind in ("prune", "adjust"):
                cells_end = Cell(kind, {"round": number}, {"network": cells_end.key})
                cells.append(cells_end)
        cells += [Cell("attack", {"number": n}, {"network": end.key}) for end in (f, cells_end) for n in range(8)]
    seconds = {cell.key: 60 * draw.uniform(*minutes[cell.kind]) for cell in cells}
    means = {kind: 30.0 * sum(ends) for kind, ends in minutes.items()}
    engine = Simulated(workers, seconds, losses, seed)
    with tempfile.TemporaryDirectory() as folder, opened(folder, create=True) as store:
        store.add_study("simulated", {}, cells, [])
        begun = time.perf_counter()
        board = Board(cells, weight=lambda cell: means[cell.kind])  # as a driver knows it: the mean of the kind
        drive(store, store.begin({}), board, engine)
        real = time.perf_counter() - begun
    assert board.counts["done"] == len(cells)
    efficiency = engine.useful / (workers * engine.now)
    mean = engine.useful / len(cells) / 60
    print(f"simulated: {workers:,} workers, {len(cells):,} cells of {mean:.1f} min, {engine.lost:,} of them lost once")
    hours = engine.now / 3600
    print(f"efficiency {efficiency:.1%}: {hours:.2f} h on the simulated clock, {real:.0f} s of them the driver's own")


def resident() -> int:
    """Bytes of memory that this process holds now."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Run one part, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", choices=["overhead", "open", "speedup", "simulate"], default=[])
    parser.add_argument("--cells", type=int)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=1_000)
    parser.add_argument("--chains", type=int, default=3_000)
    parser.add_argument("--losses", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    about = {"python": platform.python_version(), "cores": cores(), "machine": platform.machine(), "seed": options.seed}
    print(json.dumps(about))
    parts = {
        "overhead": lambda: overhead(options.cells or 10_000),
        "open": lambda: open_large(options.rows),
        "speedup": lambda: speedup(options.cells or 40),
        "simulate": lambda: simulate(options.workers, options.chains, options.losses, options.seed),
    }
    for part in options.part or parts:
        parts[part]()


if __name__ == "__main__":
    main()
