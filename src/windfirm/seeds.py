"""One named random stream per purpose.

A stream is addressed by the user's seed and the words that say what it is for, so that drawing more numbers for one
purpose never shifts another, and a run that resumes at epoch 7 draws what it would have drawn anyway.
Streams live on the CPU: the numbers do not depend on the device that uses them.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def number(seed: int, *purpose: str | int) -> int:
    """A 63-bit integer that depends on every argument and on nothing else."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(seed: int, *purpose: str | int) -> torch.Generator:
    """A fresh CPU generator for one purpose: ``stream(0, "augment", epoch)``."""
    return torch.Generator().manual_seed(number(seed, *purpose))


@contextmanager
def default_stream(seed: int, *purpose: str | int) -> Iterator[None]:
    """Seed torch's default generators, for code that takes none; that of the CPU is afterwards what it was before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number(seed, *purpose))
        yield
