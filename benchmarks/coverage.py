"""How many networks can be cut, and is every cut right? Beside Torch-Pruning, in the same run.

    python -m benchmarks.coverage --out runs/coverage.jsonl     measure every network that the file has not yet
    python -m benchmarks.coverage --table runs/coverage.jsonl   the tables
    python -m benchmarks.coverage --speed                       structures of a ResNet-50, both, median of five

Each network is measured twice, by us and by the peer, each time in a process of its own (measure.py) with limits on
time and memory: build with random weights, find the structures, remove half of every group by its L1 norm, compare with
the original in which exactly what is gone is silenced (tests/silence.py), run, save, load, and train one step. Nothing
is downloaded. A line of JSON for each network; what is missing in it was never reached.
"""

import argparse
import importlib
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.coverage_tables import tables
from benchmarks.zoo import networks

#: Every so many networks one is exported to ONNX as well.
EXPORT_EVERY = 10

#: A process may wait for the processor this many times longer than it may use it.
PATIENCE = 6


def measured(who: str, name: str, options: argparse.Namespace, export: bool) -> dict[str, Any]:
    """The facts that one process printed before it ended, with ``status`` timeout or memory where a limit ended it."""
    command = [sys.executable, "-m", "benchmarks.measure", who, name]
    command += ["--seconds", str(options.seconds), "--memory", str(options.memory), *(["--export"] if export else [])]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE * options.seconds)
        output, code = run.stdout, run.returncode
    except subprocess.TimeoutExpired as late:
        output = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        code = None
    facts: dict[str, Any] = {}
    for line in output.splitlines():
        if line.startswith("{"):
            facts |= json.loads(line)
    if code is None or code in (-24, -9):  # SIGXCPU, SIGKILL
        facts |= {"status": "timeout"}
    elif code:
        facts |= {"status": "crash" if who == "ours" else "fails", "why": f"the process ended with {code}"}
    return facts


def measure_all(options: argparse.Namespace) -> None:
    """Append a line for each network that is asked for and not in the file yet."""
    path = Path(options.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {json.loads(line)["name"] for line in path.read_text().splitlines()} if path.exists() else set()
    chosen = [(i, n) for i, n in enumerate(networks()) if re.search(options.only, n.name) and n.name not in known]
    for number, network in chosen[: options.limit]:
        row: dict[str, Any] = {"name": network.name, "zoo": network.zoo, "convolutional": network.convolutional}
        row["ours"] = measured("ours", network.name, options, export=number % EXPORT_EVERY == 0)
        if options.peer:
            row["peer"] = measured("peer", network.name, options, export=False)
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        outcome = {who: f"{row[who].get('status')} {row[who].get('why', '')}" for who in ("ours", "peer") if who in row}
        print(network.name, outcome, flush=True)


def speed() -> None:
    """Print the median seconds of five, by turns, that both need to find the structures of a ResNet-50."""
    import torch

    from benchmarks.zoo import named

    torch.set_num_threads(1)
    tp: Any = importlib.import_module("torch_pruning")
    wf: Any = importlib.import_module("windfirm")
    model = named("torchvision/resnet50").factory().eval()
    example = torch.randn(1, 3, 224, 224)
    finders: dict[str, Callable[[], object]] = {
        "windfirm": lambda: wf.structures(model, example),
        "torch-pruning": lambda: list(
            tp.DependencyGraph().build_dependency(model, example).get_all_groups(root_module_types=[torch.nn.Conv2d])
        ),
    }
    taken: dict[str, list[float]] = {name: [] for name in finders}
    for _ in range(5):
        for name, find in finders.items():
            start = time.process_time()
            find()
            taken[name].append(time.process_time() - start)
    for name, seconds in taken.items():
        print(f"ResNet-50 structures  {name:14} {statistics.median(seconds):.3f} s  (median of 5)")


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", default="runs/coverage.jsonl", help="a line of JSON for each network; goes on where it ended"
    )
    parser.add_argument("--table", metavar="FILE", help="print the tables of FILE")
    parser.add_argument("--speed", action="store_true", help="the structures of a ResNet-50, both, median of five")
    parser.add_argument("--only", default="", metavar="PATTERN", help="a regular expression that the name must match")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N networks")
    parser.add_argument("--peer", action=argparse.BooleanOptionalAction, default=True, help="Torch-Pruning as well")
    parser.add_argument("--seconds", type=int, default=300, help="of the processor, for each of the two")
    parser.add_argument("--memory", type=float, default=8, help="GiB of address space, for each of the two")
    options = parser.parse_args()
    if options.table:
        print(tables([json.loads(line) for line in Path(options.table).read_text().splitlines()]))
    elif options.speed:
        speed()
    else:
        measure_all(options)


if __name__ == "__main__":
    main()
