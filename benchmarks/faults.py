"""The fault drill: a toy study of 40 cells, killed with SIGKILL at random moments and resumed until done, many times.

    python -m benchmarks.faults --runs 50 --workers 0
    python -m benchmarks.faults --runs 50 --workers 2
    ray start --head --num-cpus 2
    python -m benchmarks.faults --runs 50 --workers ray:auto

After each run its rows and files are compared, bit by bit, with those of a run that nobody disturbed. tests/study has
the short version.
"""

import argparse
import random
import tempfile
import time
from pathlib import Path

from tests.study import toy
from tests.study.drill import killed_until_done

from windfirm.study.store import opened
from windfirm.study.upkeep import verify

#: Of eight cells each.
CHAINS = 5


def main() -> None:
    """Run the drill and print what was lost, doubled or different."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument(
        "--workers", default="0", help="0: the cells in the killed process itself; ray, ray:ADDRESS: on Ray"
    )
    parser.add_argument("--commits", type=int, default=12, help="at most between two kills")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cells = toy.cells(CHAINS)
    begun = time.perf_counter()
    kills = lost = doubled = different = damaged = 0
    with tempfile.TemporaryDirectory() as place:
        toy.run(Path(place) / "undisturbed", cells)
        wanted = toy.dump(Path(place) / "undisturbed")
        for number in range(options.runs):
            folder = Path(place) / str(number)
            draw = random.Random(f"{options.seed} {number}")
            kills += killed_until_done(folder, draw, options.commits, options.workers, CHAINS)
            found = toy.dump(folder)
            lost += len(set(wanted) - set(found))
            doubled += len(found) - len(set(found))
            different += found != wanted
            with opened(folder) as store:
                damaged += len(verify(store))
    seconds = time.perf_counter() - begun
    print(f"{options.runs} runs of {len(cells)} cells, {options.workers} workers, {kills} kills, {seconds:.0f} s")
    print(f"rows and files: {lost} lost, {doubled} doubled, {damaged} damaged; {different} runs with other results")


if __name__ == "__main__":
    main()
