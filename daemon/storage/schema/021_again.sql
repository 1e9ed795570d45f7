-- Recordings that are analyzed again.

-- While it is in the queue again although it has a result: 'quiet' when its alerts are held back, else 'alerts'.
ALTER TABLE recordings ADD COLUMN again TEXT;

-- The stored reply (responses.id) that is not to be used again, because a person wants another one.
ALTER TABLE recordings ADD COLUMN used_reply INTEGER;

-- Transcripts that are analyzed again as texts: by which request (`key`), and so many words at a time. The replies to
-- its parts are in `responses`; `done` says that the result is made of them.
CREATE TABLE readings (
    recording_id INTEGER PRIMARY KEY REFERENCES recordings(id),
    key TEXT NOT NULL,
    part_words INTEGER NOT NULL,
    done INTEGER NOT NULL DEFAULT 0
);

CREATE TRIGGER recordings_readings_delete AFTER DELETE ON recordings BEGIN
    DELETE FROM readings WHERE recording_id = old.id;
END;

-- Requests for them: under way, or lost with the process that made them.
CREATE INDEX requests_reading ON requests (recording_id) WHERE outcome = 'reading';

-- A recording may have several alerts for a target: each rule is told of once, and a rule that is new is told of by
-- an alert of its own. The rows keep their ids while their table is made anew, so that nothing else changes.
PRAGMA defer_foreign_keys = ON;

CREATE TABLE alerts_before AS SELECT * FROM alerts;

CREATE TABLE alerts_sequence AS SELECT seq FROM sqlite_sequence WHERE name = 'alerts';

DROP TABLE alerts;

CREATE TABLE alerts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    recording_id INTEGER REFERENCES recordings(id),
    destination TEXT NOT NULL,
    target INTEGER NOT NULL,
    rules TEXT NOT NULL DEFAULT '[]',
    severity TEXT NOT NULL DEFAULT 'warning',
    state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'failed', 'suppressed')),
    reason TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before TEXT,
    created_at TEXT NOT NULL,
    sent_at TEXT,
    error TEXT,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    due_at TEXT,
    about TEXT,
    UNIQUE (recording_id, destination, target, rules)
);

INSERT INTO alerts (
    id, recording_id, destination, target, rules, severity, state, reason, attempts, not_before, created_at,
    sent_at, error, title, body, due_at, about
)
SELECT
    id, recording_id, destination, target, rules, severity, state, reason, attempts, not_before, created_at,
    sent_at, error, title, body, due_at, about
FROM alerts_before;

-- No id is given twice, not even that of an alert that was deleted.
DELETE FROM sqlite_sequence WHERE name = 'alerts';

INSERT INTO sqlite_sequence (name, seq) SELECT 'alerts', seq FROM alerts_sequence;

DROP TABLE alerts_before;

DROP TABLE alerts_sequence;

CREATE INDEX alerts_outbox ON alerts (state, destination, target, not_before);

CREATE INDEX alerts_history ON alerts (destination, target, created_at);

CREATE INDEX alerts_created ON alerts (created_at);

CREATE TRIGGER alerts_deleted AFTER DELETE ON alerts BEGIN
    DELETE FROM verdicts WHERE alert_id = old.id;
END;
