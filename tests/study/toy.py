"""A study without torch: cells that add up numbers, keep them in files, and "measure" them. And a program to run it.

``python -m tests.study.toy DIR WORKERS CHAINS`` runs the toy study in DIR; 0 workers: in its own process; "ray": there,
"ray:ADDRESS": on the cluster at this address.
"""

import base64
import hashlib
import os
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from windfirm.study import place
from windfirm.study.cell import Cell
from windfirm.study.drive import Engine, Tell, drive
from windfirm.study.local import InProcess, Workers
from windfirm.study.on_ray import OnRay
from windfirm.study.schedule import Board
from windfirm.study.store import Place, Store, opened
from windfirm.study.work import Ended, Executor, Result, Task

SPEC = "tests.study.toy:executors"

#: Hashes that a cell computes, so that it takes about a millisecond.
WORK = 1_000


def cells(chains: int = 5) -> list[Cell]:
    """``chains`` times eight cells: a seed, a chain of three from it, and two measurements at each end."""
    found: list[Cell] = []
    for chain in range(chains):
        made = [Cell("sow", {"seed": chain})]
        for number in range(1, 4):
            made.append(Cell("grow", {"round": number}, {"network": made[-1].key}))
        ends = made[0], made[-1]
        found += made
        found += [Cell("measure", {"eps": eps}, {"network": end.key}) for end in ends for eps in (0.25, 0.5)]
    return found


def places(found: list[Cell]) -> list[Place]:
    kinds = {cell.key: cell.kind for cell in found}
    return [
        Place(cell.key, "F" if kinds[cell.inputs["network"]] == "sow" else "F'", {"eps": cell.settings["eps"]}, 0)
        for cell in found
        if cell.kind == "measure"
    ]


def executors(device: str) -> Mapping[str, Executor]:
    return {"sow": sow, "grow": grow, "measure": measure}


def sow(task: Task) -> Result:
    return _kept(task, f"seed {task.settings['seed']}".encode())


def grow(task: Task) -> Result:
    before = task.input("network", "network.bin").read_bytes()
    return _kept(task, before + str(task.settings["round"]).encode())


def measure(task: Task) -> Result:
    value = _hashed(task.input("network", "network.bin").read_bytes() + str(task.settings["eps"]).encode())
    return Result({}, [row(value, task.settings["eps"])])


def row(value: bytes, eps: float) -> dict[str, object]:
    """A row as an outcome of 16 images, packed."""
    counts = [digit % 2 for digit in value[:16]]
    packed = zlib.compress(b"".join(count.to_bytes(2, "little") for count in counts), 9)
    return {
        "attack": "toy",
        "title": "a toy",
        "eps": eps,
        "trials": 1,
        "count": sum(counts),
        "total": 16,
        "correct": base64.b64encode(packed).decode(),
    }


def nothing(board: Board, ended: Sequence[Ended]) -> None: ...


def run(
    folder: Path, found: list[Cell], engine: Engine | None = None, tell: Tell = nothing, url: str | None = None
) -> Board:
    """Run ``found`` as the study "toy" until it is settled; files are kept at ``url`` or in the folder."""
    with opened(folder, create=True) as store:
        if url:
            store.keep_at(place.usable(url))
        store.add_study("toy", {}, found, places(found))
        board = Board(
            found, [key for key, state in store.states([c.key for c in found]).items() if state.state == "done"]
        )
        drive(store, store.begin({}), board, engine or InProcess(SPEC), tell)
    return board


def dump(folder: Path) -> list[tuple[object, ...]]:
    """Everything that a store holds of its rows and files, in order, bit by bit; every file is read."""
    with opened(folder) as store:
        rows = store.db.execute("SELECT * FROM outcomes ORDER BY cell, number").fetchall()
        files = store.db.execute("SELECT * FROM artifacts ORDER BY cell, name").fetchall()
        return [*rows, *files, *(_read(store, key, name) for key, name, *_ in files)]


def _read(store: Store, key: str, name: str) -> tuple[object, ...]:
    return key, name, store.files(key)[name].checked().read_bytes()


def _kept(task: Task, value: bytes) -> Result:
    task.new("network.bin").write_bytes(_hashed(value))
    return Result({"macs": 100, "params": 10})


def _hashed(value: bytes) -> bytes:
    for _ in range(WORK):
        value = hashlib.sha256(value).digest()
    return value


def step(board: Board, ended: Sequence[Ended]) -> None:
    """Say a line, and wait for one."""
    sys.stdout.write(f"{board.counts['done']} done\n")
    sys.stdout.flush()
    sys.stdin.readline()


def main() -> None:
    folder, workers, chains = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    engine: Engine
    if workers.startswith("ray"):
        engine = OnRay(SPEC, address=workers.partition(":")[2] or None)
    else:
        engine = Workers(SPEC, int(workers), folder / "logs") if int(workers) else InProcess(SPEC)
    board = run(folder, cells(chains), engine, step if os.environ.get("STEPWISE") else nothing)
    sys.exit(int(board.counts["done"] != len(board.cells)))


if __name__ == "__main__":
    main()
