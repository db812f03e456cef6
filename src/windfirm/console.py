"""What a command says while it works: a live bar on a terminal, a plain line now and then elsewhere, both on stderr."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

#: Called with (done, all) and, if there is something to add, a few words such as "640 img/s".
Tick = Callable[..., None]

#: Seconds between two plain lines.
PAUSE = 15.0


@contextmanager
def bar(label: str) -> Iterator[Tick]:
    """Yield ``tick(done, all, note="")``, to be called as often as one likes while the block runs."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(label)
        return
    columns = (
        TextColumn("{task.description:<34}", markup=False),
        BarColumn(24),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=None, note="")

        def tick(done: int, total: int, note: str = "") -> None:
            progress.update(task, completed=done, total=total, note=note)

        yield tick


def say(line: str) -> None:
    """One plain line on stderr."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _plain(label: str) -> Tick:
    last = time.monotonic()

    def tick(done: int, total: int, note: str = "") -> None:
        nonlocal last
        now = time.monotonic()
        if done >= total or now - last >= PAUSE:
            last = now
            say(f"{label}: {done / max(total, 1):.0%}" + (f", {note}" if note else ""))

    return tick
