"""``windfirm run``: a study, from its file to rows in a store; it goes on where it was stopped."""

from argparse import Namespace
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from windfirm import console, data
from windfirm.commands.progress import telling, total, words
from windfirm.commands.shared import grid, one_of, print_json, printer
from windfirm.errors import DataError, InputError, expected
from windfirm.models.device import pick
from windfirm.report.words import duration, several
from windfirm.study import place
from windfirm.study.cell import Cell
from windfirm.study.drive import drive
from windfirm.study.estimate import Estimate, estimate
from windfirm.study.expand import Graph, expand
from windfirm.study.find import find
from windfirm.study.listing import studies
from windfirm.study.local import InProcess, Workers
from windfirm.study.on_ray import OnRay
from windfirm.study.plan import Plan, read
from windfirm.study.provenance import hardware, versions
from windfirm.study.schedule import Board
from windfirm.study.store import NAME, Store, opened

#: What does the cells of a real study.
SPEC = "windfirm.study.cells:executors"

#: How the command ends when cells failed.
FAILED = 3


@dataclass(frozen=True)
class Ran:
    """How a run of a study ended: its plan, its cells, the rows that it has now, the folder."""

    plan: Plan
    board: Board
    rows: int
    out: Path

    def document(self) -> dict[str, Any]:
        """As plain values."""
        failed = [
            {"cell": key, "what": words(self.board.cells[key]), "error": error}
            for key, error in self.board.errors.items()
        ]
        counts = {name: self.board.counts[name] for name in ("done", "failed", "blocked")}
        head = {"study": self.plan.name, "out": str(self.out), "rows": self.rows}
        return head | {"cells": counts, "failures": failed}


@dataclass(frozen=True)
class Foreseen:
    """What a dry run tells: the plan, ``kinds`` of cells with how many are done, the ``seconds`` left, the folder.

    ``missing``: what is said of data that are not here.
    """

    plan: Plan
    kinds: list[Mapping[str, Any]]
    seconds: float | None
    out: Path
    missing: list[str]

    def document(self) -> dict[str, Any]:
        """As plain values."""
        head = {"study": self.plan.name, "scale": self.plan.scale, "seeds": self.plan.seeds, "out": str(self.out)}
        return head | {"seconds": self.seconds, "kinds": self.kinds, "missing": self.missing}


def run(args: Namespace) -> int:
    """Do what is not done yet and tell how it went; 3 when cells failed, else 0."""
    if args.dry_run:
        plan = foresee(args)
        print_json(plan.document()) if args.json else show(plan, args.workers)
        return 0
    ran = carry_out(args)
    if args.json:
        print_json(ran.document())
    else:
        lines = [*told(ran)]
        if ran.rows:
            lines += [f"rows:  windfirm study rows {ran.out} --csv", f"page:  windfirm report {ran.out}"]
        printer().print("\n".join(lines))
    return FAILED if ran.board.errors else 0


def _asked(args: Namespace) -> tuple[Plan, Graph, Path, torch.device]:
    """What is to be done, in which folder, and on what device."""
    one_of("--engine", args.engine, ("local", "ray"))
    if args.address and args.engine != "ray":
        raise InputError(expected("--address", "the engine ray, whose cluster it is of", args.engine))
    if args.threads and args.engine == "local" and args.workers == 0:
        wanted = "--workers 1 or more, as a cell in this process has all of its threads"
        raise InputError(expected("--threads", wanted, "--workers 0"))
    changes = [*args.set, *([] if args.seed is None else [f"seeds=[{args.seed}]"])]
    plan = read(find(args.study), scale=args.scale, changes=changes)
    graph = expand(plan)
    out = Path(args.out or f"runs/{plan.name}{f'-{plan.scale}' if plan.scale else ''}")
    out = out.absolute() if args.engine == "ray" else out  # as workers there stand in other folders
    return plan, graph, out, pick(args.device)


def carry_out(args: Namespace) -> Ran:
    """Do what is not done yet of one study."""
    plan, graph, out, device = _asked(args)
    cells = list(graph.cells.values())
    url = place.usable(args.artifacts) if args.artifacts else None
    with opened(out, create=True) as store:
        if url:
            store.keep_at(url)
        store.reclaim()
        store.add_study(plan.name, plan.to_json(), cells, graph.places)
        seconds = estimate(store)
        board = Board(cells, _done(store, cells), weight=lambda cell: seconds(cell) or 1.0)
        engine = _engine(args, out, device)
        done_on = hardware(device, engine.threads) + (", which drives a cluster" if args.address else "")
        about = {"study": plan.name, "scale": plan.scale, "hardware": done_on, "versions": versions()}
        with console.bar(f"run {plan.name}") as tick:
            drive(store, store.begin(about), board, engine, telling(board, seconds, engine.free, tick))
        rows = next(entry.rows for entry in studies(store) if entry.name == plan.name)
    return Ran(plan, board, rows, out)


def _engine(args: Namespace, out: Path, device: torch.device) -> InProcess | Workers | OnRay:
    if args.engine == "ray":
        return OnRay(SPEC, device.type, address=args.address, threads=args.threads or 1)
    if args.workers == 0:
        return InProcess(SPEC, device.type)
    gpus = torch.cuda.device_count() if device.type == "cuda" else 0
    return Workers(SPEC, args.workers, out / "logs", device.type, gpus, args.threads)


def _done(store: Store, cells: list[Cell]) -> list[str]:
    states = store.states([cell.key for cell in cells])
    return [key for key, state in states.items() if state.state == "done"]


def foresee(args: Namespace) -> Foreseen:
    """Cells by kind, how many are done, and how long the rest will take, judged by what is done."""
    plan, graph, out, _ = _asked(args)
    cells = list(graph.cells.values())
    done: set[str] = set()
    seconds: Estimate = lambda cell: None  # noqa: E731
    if (out / NAME).is_file():
        with opened(out) as store:
            done, seconds = set(_done(store, cells)), estimate(store)
    kinds: list[Mapping[str, Any]] = []
    for kind, count in Counter(cell.kind for cell in cells).items():
        left = [cell for cell in cells if cell.kind == kind and cell.key not in done]
        spent = total(map(seconds, left), args.workers)
        kinds.append({"kind": kind, "cells": count, "done": count - len(left), "seconds": spent})
    return Foreseen(plan, kinds, total((entry["seconds"] for entry in kinds), 1), out, _missing(plan))


def _missing(plan: Plan) -> list[str]:
    said = []
    for name in dict.fromkeys(point.settings["data.name"] for point in plan.points):
        try:
            data.check(name)
        except (DataError, InputError) as error:
            said.append(str(error))
    return said


def show(found: Foreseen, workers: int) -> None:
    """Print what a dry run tells."""
    table = grid("cells", "number", "done", "time left", left=("cells",))
    for entry in found.kinds:
        spent = "not known yet" if entry["seconds"] is None else duration(entry["seconds"])
        table.add_row(entry["kind"], f"{entry['cells']:,}", f"{entry['done']:,}", spent)
    printer().print(table)
    plan = found.plan
    cells, done = (sum(entry[name] for entry in found.kinds) for name in ("cells", "done"))
    scale = f", scale {plan.scale}" if plan.scale else ""
    seeds = ", ".join(map(str, plan.seeds))
    last = "" if found.seconds is None else f", {duration(found.seconds)} left with {workers or 1} at a time"
    points = several(len(plan.points), "point")
    printer().print(f"\n{plan.name}{scale}: {points}, seeds {seeds}; {cells:,} cells, {done:,} done{last}")
    for line in found.missing:
        printer().print(f"missing: {line}")


def told(ran: Ran) -> list[str]:
    """How many cells are done, which failed and why."""
    board = ran.board
    lines = [f"failed: {words(board.cells[key])} ({key[:8]}): {error}" for key, error in board.errors.items()]
    if board.counts["blocked"]:
        lines.append(f"not done, as what they need failed: {board.counts['blocked']} cells")
    done = f"{board.counts['done']:,} of {len(board.cells):,} cells of {ran.plan.name} done, {ran.rows:,} rows"
    return [*lines, f"{ran.out}: {done}"]
