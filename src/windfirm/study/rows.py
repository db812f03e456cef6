"""Rows as a CSV file: everything that tables and tests are computed from, so that nobody needs the store for that.

A column for each axis of the grid stands between the first and the last; of all columns these alone have a dot in their
name, or are not among BEFORE and AFTER.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TextIO

from windfirm.errors import InputError, expected
from windfirm.study.listing import ABOUT, Measured

#: The columns before and after those of the grid.
BEFORE = ("study", "role")
ROW = ("attack", "eps", "trials", "count", "total")
COSTS = ("accuracy", "macs", "params", "cell", "network", "seconds", "spent")
AFTER = ("seed", *ROW, *COSTS, *ABOUT, "settings", "title", "correct")

#: What rows of earlier versions lack.
LATER = ("changes", "spent", "settings")


def write_csv(rows: Iterable[Measured], file: TextIO) -> int:
    """One line for each row; how many rows."""
    rows = list(rows)
    axes = sorted({axis for entry in rows for axis in entry.point})
    out = csv.writer(file, lineterminator="\n")
    out.writerow((*BEFORE, *axes, *AFTER))
    for entry in rows:
        row = entry.row
        point = (_written(entry.point[axis]) if axis in entry.point else "" for axis in axes)
        values = (*(row[name] for name in ROW), row["count"] / row["total"], entry.macs, entry.params)
        made = (entry.cell, entry.network, entry.seconds, entry.spent, *(entry.about.get(name) for name in ABOUT))
        settings = json.dumps(dict(entry.settings), separators=(",", ":")) if entry.settings else ""
        told = (settings, row["title"], row["correct"])
        out.writerow((entry.study, entry.role, *point, entry.seed, *values, *made, *told))
    return len(rows)


def read_csv(file: TextIO, where: str) -> Iterator[Measured]:
    """What write_csv wrote. Raises InputError, with the line, for what it cannot have written."""
    lines = csv.DictReader(file, strict=True)
    try:
        missing = [name for name in (*BEFORE, *AFTER) if name not in (*(lines.fieldnames or ()), *LATER)]
        if missing:
            raise InputError(expected(where, "the rows of a study, with a column for each value", f"no {missing[0]}"))
        axes = [name for name in lines.fieldnames or () if name not in (*BEFORE, *AFTER)]
        for values in lines:
            yield _read(values, axes)
    except (ValueError, csv.Error, UnicodeDecodeError, TypeError) as error:
        raise InputError(expected(f"{where}, line {lines.line_num}", "a row of a study", error)) from error


def _read(values: Mapping[str, str], axes: Iterable[str]) -> Measured:
    if None in values.values():
        raise ValueError("one that is cut off")
    row: dict[str, Any] = {name: values[name] for name in ("attack", "title", "correct")}
    row |= {name: int(values[name]) for name in ("trials", "count", "total")}
    row["eps"] = float(values["eps"]) if values["eps"] else None
    return Measured(
        values["study"],
        values["role"],
        {axis: _value(values[axis]) for axis in axes if values[axis]},
        int(values["seed"]),
        row,
        int(values["macs"]) if values["macs"] else None,
        int(values["params"]) if values["params"] else None,
        values["cell"],
        values["network"] or None,
        float(values["seconds"]) if values["seconds"] else None,
        {name: values[name] for name in ABOUT if values.get(name)},
        float(values["spent"]) if values.get("spent") else None,
        _settings(values.get("settings")),
    )


def _settings(text: str | None) -> dict[str, Any]:
    found = json.loads(text) if text else {}
    if not isinstance(found, dict):
        raise ValueError("settings that are no object")
    return found


def _written(value: object) -> str:
    """A text as it is, unless it would be read as something else; everything else as JSON."""
    if isinstance(value, str) and value and value.isprintable() and value == _value(value):
        return value
    return json.dumps(value)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
