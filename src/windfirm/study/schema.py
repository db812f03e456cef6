"""The tables of a store, documented where the sqlite3 shell shows it: ``sqlite3 DIR/study.sqlite .schema``.

Times are seconds since 1970. JSON is text that SQLite's ``->>``, pandas and DuckDB read. For example, the accuracies
of the pruned networks of a study:

    SELECT point ->> 'prune.criterion' AS criterion, seed, attack, eps, 100.0 * count / total AS accuracy
    FROM measurements WHERE study = 'table3' AND role = 'F''';
"""

import sqlite3

#: Of the tables below. Kept in the file as ``PRAGMA user_version``.
VERSION = 2

#: ``PRAGMA application_id``, by which ``file`` and we know our own: "WNDF".
APPLICATION = 0x574E4446

STORE = """
    CREATE TABLE store (           -- what holds for all of it
        name     TEXT PRIMARY KEY, -- 'artifacts': the URL where files are kept; without that row, in the folder
        value    TEXT NOT NULL
    ) WITHOUT ROWID"""

TABLES = (
    STORE,
    """
    CREATE TABLE studies (
        name     TEXT PRIMARY KEY,
        settings TEXT NOT NULL,   -- JSON: the study file as it was run, after scale and overrides
        added    REAL NOT NULL
    )""",
    """
    CREATE TABLE runs (            -- one for each process that worked on this store
        id       TEXT PRIMARY KEY,
        host     TEXT NOT NULL,    -- machine and process namespace
        pid      INTEGER NOT NULL,
        born     TEXT NOT NULL,    -- when the kernel started the process, so that a number used again is not mistaken
        started  REAL NOT NULL,
        beat     REAL NOT NULL,    -- last sign of life
        ended    REAL,             -- NULL while it works, or when it was killed
        about    TEXT NOT NULL     -- JSON: hardware and versions
    )""",
    """
    CREATE TABLE cells (
        key      TEXT PRIMARY KEY, -- hash of kind, settings and inputs
        kind     TEXT NOT NULL,
        settings TEXT NOT NULL,    -- JSON
        inputs   TEXT NOT NULL,    -- JSON: role to key
        state    TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed')),
        run      TEXT REFERENCES runs (id), -- who works or worked on it
        started  REAL,
        seconds  REAL,             -- how long it took; NULL: it took the result of its twin
        facts    TEXT,             -- JSON: what is known of it when done, such as macs and params of a network
        error    TEXT,             -- a line, when failed
        trace    TEXT              -- where it failed
    )""",
    "CREATE INDEX cells_by_state ON cells (state)",
    """
    CREATE TABLE members (         -- which cells a study needs
        study    TEXT NOT NULL REFERENCES studies (name),
        cell     TEXT NOT NULL REFERENCES cells (key),
        PRIMARY KEY (study, cell)
    ) WITHOUT ROWID""",
    """
    CREATE TABLE places (          -- what a cell's rows are in a study: one cell may be F in several comparisons
        study    TEXT NOT NULL REFERENCES studies (name),
        cell     TEXT NOT NULL REFERENCES cells (key),
        role     TEXT NOT NULL,    -- F, F' or control
        point    TEXT NOT NULL,    -- JSON: the values on the axes of the grid
        seed     INTEGER NOT NULL,
        PRIMARY KEY (study, cell, role, point, seed)
    ) WITHOUT ROWID""",
    """
    CREATE TABLE outcomes (        -- the rows: one network under one attack
        cell     TEXT NOT NULL REFERENCES cells (key),
        number   INTEGER NOT NULL, -- from 0, for cells with several
        attack   TEXT NOT NULL,
        title    TEXT NOT NULL,    -- the attack in words, with all its numbers
        eps      REAL,             -- in [0, 1] pixel units, NULL where the attack has none
        trials   INTEGER NOT NULL,
        count    INTEGER NOT NULL, -- right predictions
        total    INTEGER NOT NULL, -- predictions: images times trials
        correct  BLOB NOT NULL,    -- right predictions of each image, 16 bits each (little-endian), zlib
        PRIMARY KEY (cell, number)
    )""",
    """
    CREATE TABLE artifacts (       -- files, at artifacts/<first two digits of the key>/<key>-<name>
                                   -- or, where the store has a URL, at URL/<key>/<sha256>-<name>
        cell     TEXT NOT NULL REFERENCES cells (key),
        name     TEXT NOT NULL,
        sha256   TEXT NOT NULL,
        bytes    INTEGER NOT NULL,
        PRIMARY KEY (cell, name)
    ) WITHOUT ROWID""",
    """
    CREATE VIEW measurements AS    -- every row with its place, and the cost of the network that was measured
    SELECT places.study, places.point, places.role, places.seed,
           outcomes.attack, outcomes.eps, outcomes.trials, outcomes.count, outcomes.total, outcomes.title,
           json_extract(networks.facts, '$.macs') AS macs, json_extract(networks.facts, '$.params') AS params,
           outcomes.cell, outcomes.number, networks.key AS network, outcomes.correct
    FROM places
    JOIN outcomes ON outcomes.cell = places.cell
    JOIN cells ON cells.key = places.cell
    LEFT JOIN cells AS networks ON networks.key = json_extract(cells.inputs, '$.network')""",
)

#: What makes the tables of the next version out of those of an older one.
CHANGES = {1: (STORE,)}


def create(db: sqlite3.Connection) -> None:
    """Make the tables of an empty database, inside the transaction that is open."""
    for statement in TABLES:
        db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION}")
    db.execute(f"PRAGMA user_version = {VERSION}")


def migrate(db: sqlite3.Connection, version: int) -> None:
    """Bring the tables of an older version to ours, inside the transaction that is open."""
    for older in range(version, VERSION):
        for statement in CHANGES[older]:
            db.execute(statement)
    db.execute(f"PRAGMA user_version = {VERSION}")
