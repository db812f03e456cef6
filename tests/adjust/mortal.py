"""A training that is killed again and again until it comes to its end. Run as a module: folder, seed, extras as JSON.

Children are forked, so that PyTorch is imported once. Each kills itself at a line of the package, chosen beforehand:
one after the other at each line of the first writing of the state, then at random ones.
"""

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import torch

import windfirm
from tests.adjust.toys import data, keep, toy
from windfirm.adjust.train import Extras, Recipe, train

PACKAGE = str(Path(windfirm.__file__).parent)
WRITING = f"{PACKAGE}/files.py"
RECIPE = Recipe(epochs=4, lr=0.1, batch=8)


def work(folder: Path, extras: Extras) -> None:
    """Train, or go on, and write the weights."""
    model = toy(dropout=0.2)
    train(model, *data(), RECIPE, checkpoint=folder / "progress.safetensors", extras=extras)
    keep(model, folder / "weights")


def at_lines(where: str, moment: int, act: Callable[[], None]) -> Callable[..., Any]:
    """A tracer that acts at the line of number ``moment``, of those executed in files whose path starts so."""
    count = 0

    def local(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        if event == "line":
            count += 1
            if count == moment:
                act()
        return local

    return lambda frame, event, argument: local if frame.f_code.co_filename.startswith(where) else None


def child(folder: Path, extras: Extras, where: str, moment: int) -> int:
    """Work in a process that kills itself at a line; the signal that ended it, 0 if none did."""
    pid = os.fork()
    if not pid:
        sys.settrace(at_lines(where, moment, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        work(folder, extras)
        os._exit(0)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


def main() -> None:
    """Print how many kills it took."""
    torch.set_num_threads(1)
    folder, seed, extras = Path(sys.argv[1]), int(sys.argv[2]), Extras(**json.loads(sys.argv[3]))
    draw = random.Random(seed)
    moments = [(WRITING, line) for line in range(1, 24, 2)] + [(PACKAGE, draw.randrange(4000)) for _ in range(60)]
    kills = 0
    for where, moment in moments:
        if child(folder, extras, where, moment) != signal.SIGKILL:
            break
        kills += 1
    sys.stdout.write(str(kills))


if __name__ == "__main__":
    main()
