"""One named random stream per purpose.

A stream is addressed by the user's seed and the words that say what it is for, so that drawing more numbers for one
purpose never shifts another, and a run that resumes at epoch 7 draws what it would have drawn anyway.
Streams live on the CPU: the numbers do not depend on the device that uses them.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def number(seed: int, *purpose: str | int) -> int:
    """A 63-bit integer that depends on every argument and on nothing else."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *purpose: str | int) -> torch.Generator:
    """A fresh CPU generator for one purpose: ``stream(0, "augment", epoch)``."""
    return torch.Generator().manual_seed(number(seed, *purpose))


@contextmanager
def kept() -> Iterator[None]:
    """The default generators of Python, numpy and torch are after the block what they were before.

    Those of GPUs too, if they are in use when it begins.
    """
    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(_gpus(), device_type="cuda"):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(arrays)


@contextmanager
def default_stream(seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed the default generators inside the block, for code that takes none; afterwards see kept."""
    start = number(seed, *purpose)
    with kept():
        torch.default_generator.manual_seed(start)  # not torch.manual_seed, which lasts in GPUs that start later
        if _gpus():
            torch.cuda.manual_seed_all(start)
        random.seed(start)
        np.random.seed(start % 2**32)
        yield


def _gpus() -> range:
    """The numbers of the GPUs, none where PyTorch has not begun to use them: to ask for their state would start it."""
    return range(torch.cuda.device_count() if torch.cuda.is_initialized() else 0)  # type: ignore[no-untyped-call]
