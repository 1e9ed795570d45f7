-- Recordings, what was found in them, the outbox, and earshot's own bookkeeping: `files`, `folders`, `requests`
-- and `pauses`. The other tables are public: columns may be added to them, none renamed.

CREATE TABLE recordings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL,
    folder TEXT,
    name TEXT NOT NULL,
    size_bytes INTEGER,
    modified_at TEXT,
    sha256 TEXT,
    state TEXT NOT NULL
        CHECK (state IN ('waiting', 'analyzing', 'done', 'failed', 'duplicate', 'skipped')),
    attempts INTEGER NOT NULL DEFAULT 0,
    possibly_billed INTEGER NOT NULL DEFAULT 0,
    not_before TEXT,
    error_code TEXT,
    error TEXT,
    duplicate_of INTEGER REFERENCES recordings(id),
    first_seen_at TEXT NOT NULL,
    analyzed_at TEXT,
    recorded_at TEXT,
    tags TEXT NOT NULL DEFAULT '[]',
    metadata TEXT NOT NULL DEFAULT '{}',
    request_id TEXT,
    model TEXT,
    language TEXT,
    duration_seconds REAL,
    channels INTEGER,
    confidence REAL,
    transcript TEXT,
    summary TEXT,
    average_sentiment TEXT,
    average_sentiment_score REAL,
    not_analyzed TEXT NOT NULL DEFAULT '{}',
    estimated_cost_usd REAL,
    -- Not public: the file's name as the kernel has it, and what the queue must remember.
    source BLOB NOT NULL,
    is_url INTEGER NOT NULL DEFAULT 0,
    request_key TEXT,
    quiet INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    doubtful INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    failing_since TEXT,
    part_words INTEGER
);

CREATE INDEX recordings_queue ON recordings (state, not_before, id);

CREATE INDEX recordings_content ON recordings (sha256, request_key);

CREATE INDEX recordings_folder ON recordings (folder, state);

CREATE TABLE sentiments (
    recording_id INTEGER NOT NULL REFERENCES recordings(id),
    position INTEGER NOT NULL,
    text TEXT,
    start_word INTEGER,
    end_word INTEGER,
    start_seconds REAL,
    end_seconds REAL,
    speaker TEXT,
    sentiment TEXT,
    sentiment_score REAL,
    PRIMARY KEY (recording_id, position)
);

CREATE TABLE topics (
    recording_id INTEGER NOT NULL REFERENCES recordings(id),
    position INTEGER NOT NULL,
    text TEXT,
    start_word INTEGER,
    end_word INTEGER,
    start_seconds REAL,
    end_seconds REAL,
    speaker TEXT,
    topic TEXT,
    confidence_score REAL,
    PRIMARY KEY (recording_id, position)
);

CREATE TABLE intents (
    recording_id INTEGER NOT NULL REFERENCES recordings(id),
    position INTEGER NOT NULL,
    text TEXT,
    start_word INTEGER,
    end_word INTEGER,
    start_seconds REAL,
    end_seconds REAL,
    speaker TEXT,
    intent TEXT,
    confidence_score REAL,
    PRIMARY KEY (recording_id, position)
);

CREATE TABLE responses (
    id INTEGER PRIMARY KEY,
    recording_id INTEGER NOT NULL REFERENCES recordings(id),
    received_at TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('listen', 'read', 'doubtful')),
    body BLOB NOT NULL
);

CREATE INDEX responses_recording ON responses (recording_id);

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
    UNIQUE (recording_id, destination, target)
);

CREATE INDEX alerts_outbox ON alerts (state, destination, target, not_before);

CREATE TABLE files (
    directory BLOB NOT NULL,
    name BLOB NOT NULL,
    folder TEXT NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    recording_id INTEGER NOT NULL REFERENCES recordings(id),
    PRIMARY KEY (directory, name)
) WITHOUT ROWID;

CREATE INDEX files_inode ON files (inode, device);

CREATE INDEX files_recording ON files (recording_id);

CREATE TABLE folders (
    path TEXT PRIMARY KEY,
    method TEXT,
    available INTEGER NOT NULL DEFAULT 0,
    configured_at TEXT NOT NULL,
    first_seen_at TEXT,
    baseline_done INTEGER NOT NULL DEFAULT 0,
    last_scan_at TEXT
);

CREATE TABLE requests (
    id INTEGER PRIMARY KEY,
    recording_id INTEGER NOT NULL REFERENCES recordings(id),
    started_at TEXT NOT NULL,
    ended_at TEXT,
    outcome TEXT NOT NULL,
    http_status INTEGER,
    request_id TEXT
);

CREATE INDEX requests_recording ON requests (recording_id);

CREATE TABLE pauses (
    cause TEXT NOT NULL,
    scope TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL,
    since TEXT NOT NULL,
    next_probe_at TEXT NOT NULL,
    probe_seconds REAL NOT NULL,
    probes INTEGER NOT NULL DEFAULT 0,
    shared INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (cause, scope)
);

CREATE VIRTUAL TABLE recordings_fts USING fts5 (
    transcript, summary, name, content='recordings', content_rowid='id',
    tokenize='unicode61 remove_diacritics 2'
);

CREATE TRIGGER recordings_fts_insert AFTER INSERT ON recordings BEGIN
    INSERT INTO recordings_fts (rowid, transcript, summary, name)
    VALUES (new.id, new.transcript, new.summary, new.name);
END;

CREATE TRIGGER recordings_fts_delete AFTER DELETE ON recordings BEGIN
    INSERT INTO recordings_fts (recordings_fts, rowid, transcript, summary, name)
    VALUES ('delete', old.id, old.transcript, old.summary, old.name);
END;

-- Only after changes of these columns: a claim or a retry must not rewrite the index.
CREATE TRIGGER recordings_fts_update AFTER UPDATE OF transcript, summary, name ON recordings BEGIN
    INSERT INTO recordings_fts (recordings_fts, rowid, transcript, summary, name)
    VALUES ('delete', old.id, old.transcript, old.summary, old.name);
    INSERT INTO recordings_fts (rowid, transcript, summary, name)
    VALUES (new.id, new.transcript, new.summary, new.name);
END;
