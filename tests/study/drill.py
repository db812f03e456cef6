"""A study that is killed again and again, and must end as if nothing had been."""

import random
import subprocess
import sys
import time
from pathlib import Path

import tests

#: So often a study is begun before we give up on it.
STARTS = 200

#: Seconds in which a process that has said nothing yet is killed: while it starts.
STARTING = 0.2


def start(folder: Path, workers: int | str, chains: int, *, stepwise: bool = False) -> "subprocess.Popen[bytes]":
    """A process that runs the toy study in ``folder``; ``stepwise``, it says a line and reads one after each commit."""
    command = [sys.executable, "-m", "tests.study.toy", str(folder), str(workers), str(chains)]
    environment = {"PYTHONPATH": ":".join(sys.path)} | ({"STEPWISE": "1"} if stepwise else {})
    root = Path(tests.__file__).parents[1]
    return subprocess.Popen(command, cwd=root, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def killed_until_done(folder: Path, draw: random.Random, most: int, workers: int | str, chains: int) -> int:
    """Run the toy study until it ends by itself; each time it is killed a random while after up to ``most`` commits.

    How many kills it took. The while is up to twice the time that the last step took, and no start gets further than
    one step more: so kills fall everywhere, into a start, a cell, a commit, however fast the machine is.
    """
    for kills in range(STARTS):
        with start(folder, workers, chains, stepwise=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            last, gap = time.monotonic(), STARTING
            for _ in range(draw.randint(0, most)):
                if not process.stdout.readline():
                    break
                process.stdin.write(b"\n")
                process.stdin.flush()
                now = time.monotonic()
                last, gap = now, now - last
            try:
                code = process.wait(draw.uniform(0, 2 * gap))
            except subprocess.TimeoutExpired:
                process.kill()
                continue
        assert code == 0, f"exit code {code}"
        return kills
    raise AssertionError(f"not done after {STARTS} starts")
