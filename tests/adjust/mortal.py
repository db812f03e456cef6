"""A training that is killed again and again until it comes to its end. Run as a module, with a folder and a seed.

Children are forked, so that PyTorch is imported once. Each kills itself at a line of the package, chosen beforehand:
one after the other at each line of the first writing of the state, then at random ones.
"""

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
from tests.adjust.toys import data, import_all, keep, toy
from windfirm.adjust.train import Extras, Recipe, train

PACKAGE = str(Path(windfirm.__file__).parent)
WRITING = f"{PACKAGE}/files.py"
RECIPE = Recipe(epochs=4, lr=0.1, batch=8)
EXTRAS = Extras(probe=8, keep="fgsm", ema=0.9)

#: About as many lines of the package as two epochs take.
LINES = 3300


def work(folder: Path) -> None:
    """Train, or go on, and write the weights."""
    model = toy(dropout=0.2)
    train(model, *data(), RECIPE, checkpoint=folder / "progress.safetensors", extras=EXTRAS)
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


def child(folder: Path, where: str, moment: int) -> int:
    """Work in a process that kills itself at a line; the signal that ended it, 0 if none did."""
    pid = os.fork()
    if not pid:
        sys.settrace(at_lines(where, moment, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        work(folder)
        os._exit(0)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


def main() -> None:
    """Print how many kills it took."""
    torch.set_num_threads(1)
    import_all()
    folder, draw = Path(sys.argv[1]), random.Random(sys.argv[2])
    moments = [(WRITING, line) for line in range(3, 24, 2)] + [(PACKAGE, draw.randrange(LINES)) for _ in range(40)]
    kills = 0
    for where, moment in moments:
        if child(folder, where, moment) != signal.SIGKILL:
            break
        kills += 1
    sys.stdout.write(str(kills))


if __name__ == "__main__":
    main()
