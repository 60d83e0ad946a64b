PRAGMA application_id = 1685415287;
PRAGMA user_version = 1;
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('applied', 0), ('salt', 0), ('open', 0), ('seq', 0), ('jobs', 0);

CREATE TABLE job (
    seq INTEGER PRIMARY KEY,
    due INTEGER NOT NULL,
    clock INTEGER NOT NULL,
    id TEXT NOT NULL,
    target TEXT NOT NULL,
    data BLOB NOT NULL,
    key INTEGER,
    job_due INTEGER NOT NULL,
    created INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    run INTEGER NOT NULL,
    interruptions INTEGER NOT NULL,
    first_start INTEGER,
    retry_limit INTEGER,
    age_limit INTEGER,
    min_backoff INTEGER NOT NULL,
    max_backoff INTEGER NOT NULL,
    once INTEGER NOT NULL
) STRICT;
CREATE INDEX job_due ON job (due);
CREATE UNIQUE INDEX job_id ON job (id);

CREATE TABLE started (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE dead (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    seq INTEGER NOT NULL,
    due INTEGER NOT NULL,
    clock INTEGER NOT NULL,
    id TEXT NOT NULL,
    target TEXT NOT NULL,
    data BLOB NOT NULL,
    key INTEGER,
    job_due INTEGER NOT NULL,
    created INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    run INTEGER NOT NULL,
    interruptions INTEGER NOT NULL,
    first_start INTEGER,
    retry_limit INTEGER,
    age_limit INTEGER,
    min_backoff INTEGER NOT NULL,
    max_backoff INTEGER NOT NULL,
    once INTEGER NOT NULL,
    reason INTEGER NOT NULL,
    error TEXT NOT NULL,
    died INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_id ON dead (id);
CREATE INDEX dead_died ON dead (died);

CREATE TABLE keys (
    key INTEGER PRIMARY KEY,
    proof BLOB NOT NULL
) STRICT;

INSERT INTO job VALUES (9, 50, 0, 'late', 'report.yearly', x'', NULL, 50, 1, 1, 1, 0, NULL, NULL, NULL, 1000000000, 3600000000000, 1);
INSERT INTO job VALUES (8, 5, 1, 'early', 'email.welcome', x'616461', NULL, 2, 1, 2, 3, 0, 4, 5, NULL, 1000000000, 3600000000000, 0);
INSERT INTO dead VALUES (1, 3, 2, 1, 'gone', 'email.welcome', x'', NULL, 2, 1, 6, 6, 0, 4, 5, NULL, 1000000000, 3600000000000, 0, 0, 'Traceback', 7);
UPDATE meta SET value = 9 WHERE name = 'seq';
UPDATE meta SET value = 2 WHERE name = 'jobs';
