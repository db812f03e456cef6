"""How long the report of a large study takes, and how large its page is.

    python -m benchmarks.report --cells 1000 --images 1000

A study of so many cells is made up, seven measurements a network, with random outcomes of so many images, and put
into a store; then ``windfirm report`` runs on that store as a user would run it.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from windfirm.evaluate.outcome import Outcome, pack
from windfirm.study.cell import Cell
from windfirm.study.store import Place, opened
from windfirm.study.work import Ended, Result

ATTACKS = {"semantic": 10, "occlusion": 10, "fgsm": 1, "clean": 1, "pgd": 1, "autoattack": 1, "corruptions": 95}
ROLES = ("F", "control", "F'")
SEEDS = range(3)


def main() -> None:
    """Make the store, run the command, print seconds and bytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--images", type=int, default=1000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        count = fill(Path(folder), args.cells, args.images)
        start = time.perf_counter()
        command = [sys.executable, "-m", "windfirm", "report", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        size = (Path(folder) / "report" / "report.html").stat().st_size
    print(f"{count:,} cells, {args.images:,} images: report in {seconds:.1f} s, page of {size / 1e6:.2f} MB")


def fill(folder: Path, wanted: int, images: int) -> int:
    """A study with at least ``wanted`` cells, all done; how many."""
    draw = np.random.default_rng(0)
    cells: list[Cell] = []
    places: list[Place] = []
    results: dict[str, Result] = {}
    point = 0
    while len(cells) < wanted:
        for seed in SEEDS:
            for role in ROLES:
                network = Cell("adjust", {"role": role, "point": point, "seed": seed})
                cells.append(network)
                results[network.key] = Result({"macs": 125_485_000 - 2_000_000 * point * (role == "F'"), "params": 1})
                for attack, trials in ATTACKS.items():
                    cell = Cell("attack", {"attack": attack, "seed": seed}, {"network": network.key})
                    cells.append(cell)
                    places.append(Place(cell.key, role, {"prune.criterion": f"criterion {point}"}, seed))
                    right = draw.binomial(trials, draw.beta(2, 1, images))
                    outcome = Outcome(attack, f"{attack} in words", None, trials, right)
                    results[cell.key] = Result({"data": "made up"}, [pack(outcome)])
        point += 1
    with opened(folder, create=True) as store:
        store.add_study("large", {"points": [{"settings": {}}]}, cells, places)
        run = store.begin({})
        store.lease(run, [cell.key for cell in cells])
        store.commit(run, [Ended(key, 1.0, result, {}) for key, result in results.items()])
    return len(cells)


if __name__ == "__main__":
    main()
