"""Fetching a data set: the first source that answers, decoded, held against the digests, stored in one rename."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from windfirm.data.cifar10 import Dataset
from windfirm.data.decode import decode
from windfirm.data.store import Arrays, is_stored, put, unfinished
from windfirm.errors import DataError, InputError, expected

Report = Callable[[str], None]


def fetch_into(dataset: Dataset, root: Path, source: Path | None, report: Report) -> Path:
    """Put ``dataset`` under ``root`` and return its folder; nothing is done when it is there and right.

    With ``source``, a file or folder, only that is tried; otherwise the sources of the data set, in order. ``report``
    gets a line a step. A fetch that fails or is interrupted leaves nothing behind. Raises DataError (what came is not
    the data set, or no source answered) or InputError (``source`` is not there, or the disk refuses).
    """
    target = root / dataset.name
    if source is not None and not (source.is_file() or source.is_dir()):
        raise InputError(expected("--from", "a file or a folder", f"{source}, which is neither"))
    if is_stored(dataset, root):
        report(f"{dataset.name}: already in {target}")
        return target
    with unfinished(dataset, root) as folder:
        if source is None:
            arrays = _first_that_answers(dataset, folder, report)
        else:
            report(f"{dataset.name}: reading {source}")
            arrays = decode(dataset, source, folder, str(source))
        put(dataset, arrays, root, folder)
    report(f"{dataset.name}: stored in {target}")
    return target


def _first_that_answers(dataset: Dataset, folder: Path, report: Report) -> Arrays:
    failures = []
    for source in dataset.sources:
        report(f"{dataset.name}: trying {source.name}")
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            try:
                return decode(dataset, source.bring(Path(scratch)), Path(scratch), source.name)
            except DataError as error:
                failures.append(str(error))
                report(f"{dataset.name}: {error}")
    wanted = "a source that answers (or an archive given with --from)"
    raise DataError(expected(dataset.name, wanted, " | ".join(failures)))
