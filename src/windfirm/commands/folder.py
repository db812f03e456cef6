"""The folder of a command: written whole or not at all, with what was done and how the networks in it are fed."""

import json
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import nn

from windfirm.errors import InputError, expected
from windfirm.models.checkpoint import save
from windfirm.models.intake import Intake
from windfirm.models.source import MODEL, Source

#: Seconds after which results that are not finished are those of a command that was killed; a training may take days.
STALE = 30 * 24 * 3600

#: What a command tells of what it did, beside the networks.
RECORD = "record.json"


@contextmanager
def results(folder: str | Path) -> Iterator[Path]:
    """Yield a hidden place inside ``folder``; its files move up into ``folder`` when the block ends well.

    Else they go, and so do the folders that were made for them: a command leaves all of its results or none, also
    beside another that writes there. Raises InputError at once when ``folder`` cannot be written, so that a long run
    does not end at a closed door.
    """
    target = Path(folder)
    place = target / f".unfinished-{uuid.uuid4().hex[:8]}"
    made = [path for path in (target, *target.parents) if not path.exists()]
    try:
        with _disk(target):
            for left in target.glob(".unfinished*"):  # by what was killed, or by what is at work beside
                with suppress(OSError):
                    if time.time() - left.stat().st_mtime > STALE:
                        shutil.rmtree(left, ignore_errors=True)
            place.mkdir(parents=True)
        yield place
        with _disk(target):
            for path in sorted(place.iterdir()):
                path.replace(target / path.name)
    finally:
        shutil.rmtree(place, ignore_errors=True)
        for path in made:  # those that are empty; after a good end none is
            with suppress(OSError):
                path.rmdir()


@contextmanager
def _disk(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(expected(str(target), "a folder that can be written", error.strerror or error)) from error


def keep(network: nn.Module, path: Path, source: Source, shape: tuple[int, int, int], **notes: object) -> None:
    """Write ``network``, made like ``source``, with how it is fed among its notes; those that are None are left out."""
    fed = Intake(shape, source.intake.mean, source.intake.std).to_json()
    kept = {name: value for name, value in notes.items() if value is not None} | {"intake": fed}
    save(network.cpu(), path, arch=source.arch, classes=source.classes, notes=kept)


def recorded(folder: Path) -> dict[str, Any]:
    """What an earlier command there tells of what it did; nothing where that is not there, or damaged."""
    try:
        return dict(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError):
        return {}


def check_apart(option: str, out: Path, spec: str) -> None:
    """Raise InputError where the file ``out`` is the one that the network ``spec`` is read from."""
    path = Path(spec)
    if path.exists() and out.resolve() in (path.resolve(), (path / MODEL).resolve()):
        raise InputError(expected(option, "another place than the network's own file", str(out)))
