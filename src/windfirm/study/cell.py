"""A cell: one piece of work in plain values, named by the hash of what it is and of what it starts from."""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Any

from windfirm.errors import InputError, expected

#: Part of every key. To be raised when cells with the same settings come to mean something else.
MEANING = 1

#: Hex digits of a key: 128 bits.
DIGITS = 32


@dataclass(frozen=True)
class Cell:
    """``kind`` says what is done, ``settings`` how (values that JSON has, nothing else), ``inputs`` with what.

    ``inputs`` maps a role, such as ``network``, to the key of the cell that makes it. ``key`` follows from the three:
    wherever the same work is wanted, in this study or another, it has the same key. Raises InputError for settings that
    are not plain.
    """

    kind: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, str] = field(default_factory=dict)
    key: str = field(init=False)

    def __post_init__(self) -> None:
        where = f"cell {self.kind}"
        _refuse_other(self.settings, where)
        text = canonical([MEANING, self.kind, self.settings, self.inputs], where)
        _, _, settings, inputs = json.loads(text)  # the caller's mapping may change, and tuples are lists from here on
        object.__setattr__(self, "settings", settings)
        object.__setattr__(self, "inputs", inputs)
        object.__setattr__(self, "key", hashlib.sha256(text.encode()).hexdigest()[:DIGITS])


def canonical(values: object, where: str = "settings") -> str:
    """The one JSON text of plain values: keys sorted, no spaces. Raises InputError for what JSON does not have."""
    _refuse_other(values, where)
    return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)


def in_order(cells: Iterable[Cell], known: Collection[str] = ()) -> list[Cell]:
    """``cells``, each once, every one behind its inputs. Raises InputError for an input that is not there.

    Inputs in ``known`` need not be among them.
    """
    by_key = {cell.key: cell for cell in cells}
    for cell in by_key.values():
        for role, key in cell.inputs.items():
            if key not in by_key and key not in known:
                raise InputError(expected(f"cell {cell.kind} {cell.key}", f"the cell of its {role}", f"no {key}"))
    graph = {key: [one for one in cell.inputs.values() if one in by_key] for key, cell in by_key.items()}
    return [by_key[key] for key in TopologicalSorter(graph).static_order()]


def _refuse_other(values: object, where: str) -> None:
    """Raise InputError unless ``values`` come back from JSON as they are, but for tuples."""
    if isinstance(values, Mapping):
        for name, value in values.items():
            if not isinstance(name, str):
                raise InputError(expected(where, "names that are strings", repr(name)))
            _refuse_other(value, f"{where}.{name}")
    elif isinstance(values, list | tuple):
        for value in values:
            _refuse_other(value, where)
    elif isinstance(values, float):
        if values - values != 0:
            raise InputError(expected(where, "a finite number", values))
    elif not isinstance(values, str | int | None):
        raise InputError(expected(where, "a plain value", f"{values!r}, a {type(values).__name__}"))
