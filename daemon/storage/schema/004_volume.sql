-- Volume control, and what operations were told: earshot's own.

-- When an alert was first to be sent, where that is later than `created_at`: after quiet hours, or when a person
-- asked for it again. The day of retries counts from here.
ALTER TABLE alerts ADD COLUMN due_at TEXT;

CREATE INDEX alerts_history ON alerts (destination, target, created_at);

CREATE TABLE snoozes (rule TEXT PRIMARY KEY, until TEXT NOT NULL);

-- One row for each target with a window that is open: what came since the alert `after_id`.
CREATE TABLE bursts (
    destination TEXT NOT NULL,
    target INTEGER NOT NULL,
    ends_at TEXT NOT NULL,
    window_seconds REAL NOT NULL,
    after_id INTEGER NOT NULL,
    passed INTEGER NOT NULL,
    PRIMARY KEY (destination, target)
);

-- At most one row: until when everything was in a digest.
CREATE TABLE digests (id INTEGER PRIMARY KEY CHECK (id = 1), until TEXT NOT NULL);

-- Troubles that last.
CREATE TABLE notices (
    cause TEXT NOT NULL,
    subject TEXT NOT NULL DEFAULT '',
    since TEXT NOT NULL,
    told_at TEXT,
    PRIMARY KEY (cause, subject)
);

-- Recordings that failed, and when operations were told of each.
CREATE TABLE failures (
    id INTEGER PRIMARY KEY,
    recording_id INTEGER NOT NULL REFERENCES recordings(id),
    failed_at TEXT NOT NULL,
    told_at TEXT
);

CREATE INDEX failures_recording ON failures (recording_id);

CREATE INDEX recordings_arrivals ON recordings (folder, first_seen_at);

CREATE INDEX recordings_analyzed ON recordings (analyzed_at);

CREATE TRIGGER recordings_failed AFTER UPDATE OF state ON recordings
WHEN new.state = 'failed' AND old.state <> 'failed' BEGIN
    INSERT INTO failures (recording_id, failed_at)
    VALUES (new.id, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'));
END;

CREATE TRIGGER recordings_failed_at_once AFTER INSERT ON recordings
WHEN new.state = 'failed' BEGIN
    INSERT INTO failures (recording_id, failed_at)
    VALUES (new.id, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'));
END;
