"""Tasks and their ends as plain values, for processes that talk in lines of JSON."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windfirm.study.work import Ended, File, Result, Task

Values = Mapping[str, Any]


def dump(values: Values) -> bytes:
    """One line."""
    return json.dumps(values, allow_nan=False).encode() + b"\n"


def load(line: bytes) -> Values:
    """What dump wrote."""
    values: Values = json.loads(line)
    return values


def from_task(task: Task) -> Values:
    """Plain values; see to_task."""
    inputs = {role: _from_files(files) for role, files in task.inputs.items()}
    return vars(task) | {"inputs": inputs, "out": str(task.out), "progress": str(task.progress)}


def to_task(values: Values) -> Task:
    """What from_task made plain."""
    inputs = {role: _to_files(files) for role, files in values["inputs"].items()}
    return Task(**{**values, "inputs": inputs, "out": Path(values["out"]), "progress": Path(values["progress"])})


def from_ended(ended: Ended) -> Values:
    """Plain values; see to_ended."""
    result = ended.result and {"facts": ended.result.facts, "rows": list(ended.result.rows)}
    return vars(ended) | {"result": result, "files": _from_files(ended.files)}


def to_ended(values: Values) -> Ended:
    """What from_ended made plain."""
    result = values["result"] and Result(**values["result"])
    return Ended(**{**values, "result": result, "files": _to_files(values["files"])})


def _from_files(files: Mapping[str, File]) -> Values:
    return {name: [str(file.path), file.sha256, file.bytes, file.url] for name, file in files.items()}


def _to_files(values: Values) -> dict[str, File]:
    return {name: File(Path(path), *rest) for name, (path, *rest) in values.items()}
