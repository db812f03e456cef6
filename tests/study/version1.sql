-- A store as the first version of the tables left it: one network, and one measurement of it.
BEGIN TRANSACTION;
CREATE TABLE artifacts (       -- files, at artifacts/<first two digits of the key>/<key>-<name>
        cell     TEXT NOT NULL REFERENCES cells (key),
        name     TEXT NOT NULL,
        sha256   TEXT NOT NULL,
        bytes    INTEGER NOT NULL,
        PRIMARY KEY (cell, name)
    ) WITHOUT ROWID;
INSERT INTO "artifacts" VALUES('027138082d9ad1dd89c203ce45f6f53b','model.safetensors','9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c',7);
CREATE TABLE cells (
        key      TEXT PRIMARY KEY, -- hash of kind, settings and inputs
        kind     TEXT NOT NULL,
        settings TEXT NOT NULL,    -- JSON
        inputs   TEXT NOT NULL,    -- JSON: role to key
        state    TEXT NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'done', 'failed')),
        run      TEXT REFERENCES runs (id), -- who works or worked on it
        started  REAL,
        seconds  REAL,             -- how long it took, from where it last went on
        facts    TEXT,             -- JSON: what is known of it when done, such as macs and params of a network
        error    TEXT,             -- a line, when failed
        trace    TEXT              -- where it failed
    );
INSERT INTO "cells" VALUES('027138082d9ad1dd89c203ce45f6f53b','train','{"seed":0}','{}','done','20250101-000000-00000000',0.0,2.0,'{"macs":7,"params":3}',NULL,NULL);
INSERT INTO "cells" VALUES('24763235ec13781f2b8e77fc1036fe06','attack','{"attack":"clean"}','{"network":"027138082d9ad1dd89c203ce45f6f53b"}','done','20250101-000000-00000000',0.0,2.0,'{"macs":7,"params":3}',NULL,NULL);
CREATE TABLE members (         -- which cells a study needs
        study    TEXT NOT NULL REFERENCES studies (name),
        cell     TEXT NOT NULL REFERENCES cells (key),
        PRIMARY KEY (study, cell)
    ) WITHOUT ROWID;
INSERT INTO "members" VALUES('one','027138082d9ad1dd89c203ce45f6f53b');
INSERT INTO "members" VALUES('one','24763235ec13781f2b8e77fc1036fe06');
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
    );
INSERT INTO "outcomes" VALUES('24763235ec13781f2b8e77fc1036fe06',0,'toy','a toy',0.5,1,8,16,X'78DA636460640001463084B1608091010000BC0009');
CREATE TABLE places (          -- what a cell's rows are in a study: one cell may be F in several comparisons
        study    TEXT NOT NULL REFERENCES studies (name),
        cell     TEXT NOT NULL REFERENCES cells (key),
        role     TEXT NOT NULL,    -- F, F' or control
        point    TEXT NOT NULL,    -- JSON: the values on the axes of the grid
        seed     INTEGER NOT NULL,
        PRIMARY KEY (study, cell, role, point, seed)
    ) WITHOUT ROWID;
INSERT INTO "places" VALUES('one','24763235ec13781f2b8e77fc1036fe06','F','{"arch":"toy"}',0);
CREATE TABLE runs (            -- one for each process that worked on this store
        id       TEXT PRIMARY KEY,
        host     TEXT NOT NULL,    -- machine and process namespace
        pid      INTEGER NOT NULL,
        born     TEXT NOT NULL,    -- when the kernel started the process, so that a number used again is not mistaken
        started  REAL NOT NULL,
        beat     REAL NOT NULL,    -- last sign of life
        ended    REAL,             -- NULL while it works, or when it was killed
        about    TEXT NOT NULL     -- JSON: hardware and versions
    );
INSERT INTO "runs" VALUES('20250101-000000-00000000','there',1,'1',0.0,0.0,1.0,'{"hardware":"here"}');
CREATE TABLE studies (
        name     TEXT PRIMARY KEY,
        settings TEXT NOT NULL,   -- JSON: the study file as it was run, after scale and overrides
        added    REAL NOT NULL
    );
INSERT INTO "studies" VALUES('one','{"name":"one"}',0.0);
CREATE INDEX cells_by_state ON cells (state);
CREATE VIEW measurements AS    -- every row with its place, and the cost of the network that was measured
    SELECT places.study, places.point, places.role, places.seed,
           outcomes.attack, outcomes.eps, outcomes.trials, outcomes.count, outcomes.total, outcomes.title,
           json_extract(networks.facts, '$.macs') AS macs, json_extract(networks.facts, '$.params') AS params,
           outcomes.cell, outcomes.number, networks.key AS network, outcomes.correct
    FROM places
    JOIN outcomes ON outcomes.cell = places.cell
    JOIN cells ON cells.key = places.cell
    LEFT JOIN cells AS networks ON networks.key = json_extract(cells.inputs, '$.network');
PRAGMA application_id = 1464747078;
PRAGMA user_version = 1;
COMMIT;
