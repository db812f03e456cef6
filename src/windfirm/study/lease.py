"""Who works on a store, and whether they still do.

A cell that is being worked on belongs to a run. A run that was killed cannot give its cells back, so others must tell:
on the same machine the kernel knows at once whether the process is still there; for other machines a run that gave no
sign of life for a minute is taken for dead. If it only slept, the store stays right: who finishes a cell first wins,
and where the files of the one that slept are gone, its run ends and says why.
"""

import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

#: Seconds between two signs of life, and after how many without one a run on another machine is taken for dead.
BEAT, PATIENCE = 10.0, 60.0


@dataclass(frozen=True)
class Owner:
    """A process: its machine and process namespace, its number, and when the kernel started it."""

    host: str
    pid: int
    born: str

    @property
    def here(self) -> bool:
        """Whether it is, or was, on this machine."""
        return self.host == _host()


def myself() -> Owner:
    """This process."""
    return Owner(_host(), os.getpid(), _born(os.getpid()))


def new_id() -> str:
    """A name for a run that no other has."""
    return time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(4)


def is_alive(owner: Owner, beat: float, now: float) -> bool:
    """Whether the run of ``owner``, whose last sign of life was at ``beat``, still works."""
    if not owner.here:
        return now - beat < PATIENCE
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, and there
    return _born(owner.pid) == owner.born


@contextmanager
def beating(sign: Callable[[], None], pause: float = BEAT) -> Iterator[None]:
    """Call ``sign`` every ``pause`` seconds, in a thread of its own, while the block runs."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(pause):
            with suppress(Exception):  # a full disk: the next commit will say so, in the right place
                sign()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _host() -> str:
    """The machine since it was started and, where there are several, the namespace in which process numbers count.

    By its name alone two machines may be one: many are called localhost.
    """
    with suppress(OSError):
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{platform.node()} {started} {Path('/proc/self/ns/pid').readlink()}"
    return platform.node()


def _born(pid: int) -> str:
    """When a process was started, in the kernel's own ticks; empty where it does not tell, or the process has ended.

    One that was killed is there, as a zombie, until its parent asks what became of it.
    """
    with suppress(OSError, IndexError):
        # The name of the program, in brackets, may hold anything; behind it the state, and the 22nd field as the 20th.
        told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return "" if told[0] in "ZX" else told[19]
    return ""
