CREATE TABLE experiment (
    only             INTEGER PRIMARY KEY CHECK (only = 1),
    id               TEXT NOT NULL,
    created_ms       INTEGER NOT NULL,
    config_text      TEXT NOT NULL,
    config_json      TEXT NOT NULL,
    status           TEXT NOT NULL,
    message          TEXT,
    code_json        TEXT,
    started_ms       INTEGER,
    ended_ms         INTEGER,
    duration_ms      INTEGER NOT NULL DEFAULT 0,
    concurrency      INTEGER NOT NULL,
    max_trials       INTEGER,
    max_duration_ms  INTEGER,
    next_sequence_id INTEGER NOT NULL DEFAULT 0,
    revision         INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE template (
    number INTEGER PRIMARY KEY,
    json   TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE trial (
    sequence_id     INTEGER PRIMARY KEY,
    id              TEXT NOT NULL UNIQUE,
    retry_of        INTEGER REFERENCES trial (sequence_id),
    attempt         INTEGER NOT NULL,
    template        INTEGER NOT NULL REFERENCES template (number),
    parameters      TEXT NOT NULL,
    parameter_index INTEGER NOT NULL,
    status          TEXT NOT NULL,
    reason_json     TEXT,
    cancel_reason   TEXT,
    submitted       INTEGER NOT NULL DEFAULT 0,
    url             TEXT,
    created_ms      INTEGER NOT NULL,
    submitted_ms    INTEGER,
    started_ms      INTEGER,
    ended_ms        INTEGER,
    journal_base    INTEGER NOT NULL DEFAULT 0,
    journal_offset  INTEGER NOT NULL DEFAULT 0,
    journal_check   INTEGER NOT NULL DEFAULT 0,
    n_metrics       INTEGER NOT NULL DEFAULT 0,
    newest_seq      INTEGER,
    newest_ms       INTEGER,
    newest_kind     TEXT,
    newest_sequence INTEGER,
    newest_value    TEXT,
    newest_number   REAL,
    final_seq       INTEGER,
    final_value     TEXT,
    final_number    REAL
) STRICT;
CREATE INDEX trial_by_result ON trial (final_number) WHERE final_number IS NOT NULL;

CREATE TABLE metric (
    trial    INTEGER NOT NULL REFERENCES trial (sequence_id),
    seq      INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    kind     TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    value    TEXT NOT NULL,
    number   REAL,
    PRIMARY KEY (trial, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
    number INTEGER PRIMARY KEY,
    at_ms  INTEGER NOT NULL,
    trial  INTEGER REFERENCES trial (sequence_id),
    kind   TEXT NOT NULL,
    data   TEXT
) STRICT;
