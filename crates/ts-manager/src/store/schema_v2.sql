ALTER TABLE metric ADD COLUMN parameter_index INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trial ADD COLUMN newest_index INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trial ADD COLUMN final_index INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trial ADD COLUMN requested_index INTEGER;
ALTER TABLE trial ADD COLUMN n_requests INTEGER NOT NULL DEFAULT 0;
ALTER TABLE trial ADD COLUMN n_phases INTEGER NOT NULL DEFAULT 0;

CREATE TABLE phase (
    trial           INTEGER NOT NULL REFERENCES trial (sequence_id),
    parameter_index INTEGER NOT NULL,
    requested_ms    INTEGER NOT NULL,
    given_ms        INTEGER,
    parameters      TEXT,
    delivered       INTEGER NOT NULL DEFAULT 0,
    final_seq       INTEGER,
    final_value     TEXT,
    final_number    REAL,
    PRIMARY KEY (trial, parameter_index)
) STRICT, WITHOUT ROWID;

INSERT OR IGNORE INTO phase (trial, parameter_index, requested_ms, given_ms, parameters, delivered)
    SELECT trial, data ->> 'index', at_ms, at_ms, data ->> 'text', 1
    FROM event WHERE kind = 'parameters' AND trial IS NOT NULL AND data ->> 'index' > 0;
INSERT INTO phase
    SELECT sequence_id, 0, created_ms, created_ms, parameters, 1, final_seq, final_value, final_number
    FROM trial WHERE sequence_id IN (SELECT trial FROM phase);
UPDATE trial SET n_phases = (SELECT count(*) FROM phase WHERE phase.trial = trial.sequence_id);
