"""Doing one cell, in whichever process: the executor is called, its files are hashed, files and errors are kept."""

import importlib
import shutil
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from windfirm.errors import InputError, WindfirmError, brief, expected
from windfirm.files import as_text
from windfirm.study import place
from windfirm.study.cell import canonical
from windfirm.study.work import Ended, Executor, File, Task, digest


def perform(executors: Mapping[str, Executor], task: Task) -> Ended:
    """Do ``task``; whatever its executor raises is in the result, not raised."""
    start = time.perf_counter()
    try:
        if task.out.exists():  # left by a worker that was lost
            shutil.rmtree(task.out)
        if task.kind not in executors:
            raise InputError(expected(f"cell {task.key}", f"a kind out of {', '.join(executors)}", task.kind))
        result = executors[task.kind](task)
        canonical([result.facts, [*result.rows]], f"the result of cell {task.kind}")
        files = {path.name: _kept(task, path) for path in sorted(task.out.glob("*"))}
    except (Exception, SystemExit) as error:  # anything may happen in there, and it concerns this cell alone
        line = str(error) if isinstance(error, WindfirmError) else brief(error)
        return Ended(task.key, time.perf_counter() - start, error=as_text(line), trace=as_text(traceback.format_exc()))
    if task.artifacts:
        shutil.rmtree(task.out, ignore_errors=True)
    return Ended(task.key, max(time.perf_counter() - start, result.seconds), result, files)


def executors_of(spec: str, device: str) -> Mapping[str, Executor]:
    """What ``package.module:function`` returns for ``device``: an executor for each kind of cell."""
    module, _, name = spec.partition(":")
    made: Mapping[str, Executor] = getattr(importlib.import_module(module), name)(device)
    return made


def _kept(task: Task, path: Path) -> File:
    """A new file, put where the task says."""
    file = File(path, digest(path), path.stat().st_size)
    if task.artifacts is None:
        return file
    url = place.of_file(task.artifacts, task.key, file.sha256, path.name)
    place.put(path, url)
    return replace(file, url=url)
