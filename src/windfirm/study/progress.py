"""What cells that take long keep of themselves after every epoch, so that one that was killed goes on from there.

    DIR/progress/KEY-RUN.safetensors

A run writes to files of its own alone: one that was taken for dead and only slept spoils nothing when it wakes.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path


def take_over(folder: Path, key: str, run: str) -> Path:
    """Where the cell ``key`` keeps its state in ``run``; the newest that an earlier run left is moved there."""
    path = _path(folder, key, run)
    if not path.exists():
        with suppress(OSError):  # it is a help, and not needed
            for left in sorted(folder.glob(f"{key}-*.safetensors"), key=lambda left: left.stat().st_mtime):
                left.replace(path)
    return path


def drop(folder: Path, key: str, run: str) -> None:
    """Forget the state of a cell that has ended in ``run``."""
    with suppress(OSError):
        _path(folder, key, run).unlink()


def useless(folder: Path, cells: Collection[str], runs: Collection[str]) -> Iterator[Path]:
    """Files that none of the ``runs`` at work writes, and from which none of the ``cells`` to be done can go on."""
    for path in folder.glob("*"):
        key, _, rest = path.name.removeprefix(".").partition("-")
        whole = not path.name.startswith(".")  # else a run was killed while it wrote
        if rest.partition(".")[0] not in runs and not (whole and key in cells):
            yield path


def _path(folder: Path, key: str, run: str) -> Path:
    return folder / f"{key}-{run}.safetensors"
