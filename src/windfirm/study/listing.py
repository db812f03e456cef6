"""Reading a store: which studies there are, how far they are, and their rows."""

import base64
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from windfirm.errors import StoreError, expected, nearest
from windfirm.study.store import Store

#: What is told of the making of a row.
ABOUT = ("data", "digest", "scale", "changes", "hardware", "versions")


class Run(NamedTuple):
    """A study as it was run, the scale and the changes empty where they are not known. Rows of two are never mixed."""

    study: str
    scale: str
    changes: str


@dataclass(frozen=True)
class Listed:
    """A study: its name, when it was added (seconds since 1970), and how many of its cells are in each state."""

    name: str
    added: float
    cells: Mapping[str, int]
    rows: int


@dataclass(frozen=True)
class Measured:
    """A row in its place. ``row`` is what windfirm.evaluate.outcome.unpack takes.

    ``point``: the values on the axes of the grid. ``macs`` and ``params`` are those of the network that was measured;
    ``cell`` and ``network`` are the keys of the measurement and of what made the network. ``seconds``: how long
    it took. ``about``: the ``data`` and their ``digest``, the study's ``scale`` and ``changes`` (see Plan; as a shell
    takes them), ``hardware`` and ``versions``, as far as they are known. ``spent``: the seconds of all cells that the
    study needs for this seed; None where that is not known. ``settings``: those of the point, by their dotted names,
    without those that are left to others; none where they are not known.
    """

    study: str
    role: str
    point: Mapping[str, Any]
    seed: int
    row: Mapping[str, Any]
    macs: int | None
    params: int | None
    cell: str
    network: str | None
    seconds: float | None
    about: Mapping[str, str]
    spent: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def run(self) -> Run:
        """What it is a row of."""
        return Run(self.study, self.about.get("scale", ""), self.about.get("changes", ""))


@dataclass(frozen=True)
class Shown:
    """A cell as people ask about it; ``settings`` and ``inputs`` as in Cell, ``facts`` as in Result."""

    key: str
    kind: str
    state: str
    seconds: float | None
    settings: Mapping[str, Any]
    inputs: Mapping[str, str]
    facts: Mapping[str, Any]
    error: str | None
    trace: str | None


def studies(store: Store) -> list[Listed]:
    """All studies of a store, by name."""
    with store.reading() as db:
        found = db.execute("SELECT name, added FROM studies ORDER BY name").fetchall()
        counts = (
            "SELECT state, count(*) FROM members JOIN cells ON cells.key = members.cell WHERE study = ? GROUP BY state"
        )
        rows = "SELECT count(*) FROM places JOIN outcomes ON outcomes.cell = places.cell WHERE study = ?"
        return [
            Listed(name, added, dict(db.execute(counts, (name,))), db.execute(rows, (name,)).fetchone()[0])
            for name, added in found
        ]


def settings_of(store: Store, study: str) -> dict[str, Any]:
    """The settings that a study was last run with. Raises StoreError for one that is not there."""
    with store.reading() as db:
        known = dict(db.execute("SELECT name, settings FROM studies ORDER BY name"))
    if study not in known:
        got = study + nearest(study, known)
        raise StoreError(expected(str(store.folder), f"a study {' or '.join(known) or '(there is none)'}", got))
    settings: dict[str, Any] = json.loads(known[study])
    return settings


def measured(store: Store, study: str | None = None) -> Iterator[Measured]:
    """The rows of a study, or of all, in the order of point, seed, role and attack; read one by one."""
    with store.reading() as db:
        # Not those of the study for which a cell happened to be done.
        kept = {name: json.loads(text) for name, text in db.execute("SELECT name, settings FROM studies")}
        found = db.execute(
            "SELECT study, role, point, seed, attack, title, eps, trials, count, total, correct, macs, params, "
            "m.cell, network, cells.seconds, json_patch(coalesce(facts, '{}'), coalesce(about, '{}')) "
            "FROM measurements AS m JOIN cells ON cells.key = m.cell LEFT JOIN runs ON runs.id = cells.run "
            "WHERE ?1 IS NULL OR study = ?1 ORDER BY study, point, seed, role, attack, eps, m.cell, number",
            (study,),
        )
        spent = {name: _spent(db, name) for name in kept if study in (None, name)}
        settings = {name: _by_point(entry.get("points", ())) for name, entry in kept.items()}
        for name, role, point, seed, *row, correct, macs, params, cell, network, seconds, facts in found:
            values = dict(zip(("attack", "title", "eps", "trials", "count", "total"), row, strict=True))
            values["correct"] = base64.b64encode(correct).decode("ascii")
            known = json.loads(facts) | {key: kept[name].get(key) for key in ("scale", "changes")}
            about = {key: known[key] for key in ABOUT if known.get(key)}
            made = cell, network, seconds, about, spent[name][seed]
            place = json.loads(point)
            yield Measured(name, role, place, seed, values, macs, params, *made, settings[name].get(_text(place), {}))


def _by_point(points: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What was set at each point, by its place as text."""
    return {
        _text(point["axes"]): {name: value for name, value in sorted(point["settings"].items()) if value is not None}
        for point in points
    }


def _text(place: Mapping[str, Any]) -> str:
    return json.dumps(place, sort_keys=True)


def _spent(db: sqlite3.Connection, study: str) -> dict[int, float]:
    """What the cells of a study took, by seed, in seconds: those that measure, and all that they start from.

    Of a cell that has the result of its twin, what the twin took.
    """
    needed = (
        "WITH RECURSIVE needed (seed, cell) AS (SELECT seed, cell FROM places WHERE study = ? UNION "
        "SELECT seed, value FROM needed JOIN cells ON cells.key = cell JOIN json_each(inputs)), "
        "worked (seed, cell) AS (SELECT DISTINCT seed, coalesce(json_extract(facts, '$.twin'), cell) "
        "FROM needed JOIN cells ON cells.key = cell WHERE state = 'done') "
        "SELECT seed, total(seconds) FROM worked LEFT JOIN cells ON cells.key = cell GROUP BY seed"
    )
    return dict(db.execute(needed, (study,)))


def shown(store: Store, *, study: str | None = None, key: str | None = None) -> list[Shown]:
    """The cells of a study, or those whose key begins with ``key``, in the order in which they were added."""
    chosen = "SELECT key, kind, state, seconds, settings, inputs, facts, error, trace FROM cells "
    with store.reading() as db:
        if key is not None:
            found = db.execute(f"{chosen} WHERE substr(key, 1, ?) = ? ORDER BY rowid", (len(key), key)).fetchall()
        else:
            members = "WHERE ?1 IS NULL OR key IN (SELECT cell FROM members WHERE study = ?1) ORDER BY rowid"
            found = db.execute(chosen + members, (study,)).fetchall()
    return [
        Shown(name, kind, state, seconds, json.loads(settings), json.loads(inputs), json.loads(facts or "{}"), *why)
        for name, kind, state, seconds, settings, inputs, facts, *why in found
    ]
