"""Where in a TOML file a key stands, which tomllib does not tell."""

import re
from collections import Counter
from pathlib import Path

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]")
_KEY = re.compile(r"""^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")

Part = str | int


class Lines:
    """The line of every key of a file, by its path: names of tables, numbers of entries in arrays of tables.

    Found by their looks, line by line: keys inside inline tables stand where their table stands.
    """

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.first: tuple[Part, ...] = ()
        self.known: dict[tuple[Part, ...], int] = {}
        table: tuple[Part, ...] = ()
        entries: Counter[tuple[Part, ...]] = Counter()
        for number, line in enumerate(text.splitlines(), 1):
            if header := _HEADER.match(line):
                table = _parts(header[2])
                for end in range(1, len(table)):  # [grid.x] belongs to the last [[grid]]
                    if table[:end] in entries:
                        table = (*table[:end], entries[table[:end]] - 1, *table[end:])
                if header[1] == "[[":
                    self.known.setdefault(table, number)
                    entries[table] += 1
                    table = (*table, entries[table] - 1)
                self.known.setdefault(table, number)
            elif key := _KEY.match(line):
                self.known.setdefault((*table, *_parts(key[1])), number)

    def prefer(self, *parts: Part) -> None:
        """Look for keys below this table first."""
        self.first = parts

    def where(self, *parts: Part) -> str:
        """``study.toml:7: prune.rounds``: the file, the line of the key or of what it is in, and its dotted name."""
        path = tuple(piece for part in parts for piece in (part.split(".") if isinstance(part, str) else [part]))
        name = ".".join(piece for piece in path if isinstance(piece, str))
        for end in range(len(path), 0, -1):  # the key, else what it is in
            for full in ((*self.first, *path[:end]), path[:end]):
                if full in self.known:
                    return f"{self.path}:{self.known[full]}: {name}"
        return f"{self.path}: {name}"


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))
