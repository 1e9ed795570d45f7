-- What belongs to a recording goes with its row, whatever program deletes that: sqlite3's shell, sqlite-utils and
-- Datasette leave foreign keys alone. A trigger for each kind of thing; a new table gets one of its own. SQLite
-- does not run a trigger within itself, so that the duplicates are deleted by one that does nothing else: the
-- others run for each of them.

-- Kept from retention and `earshot forget`.
ALTER TABLE recordings ADD COLUMN protected INTEGER NOT NULL DEFAULT 0;

-- When earshot deleted the file, because it had been kept long enough.
ALTER TABLE recordings ADD COLUMN original_deleted_at TEXT;

-- Files of deleted recordings, which stay in their folders and are not to be taken again. There is no name in a
-- mark: its digest is a keyed hash of the path, and the key is in a file beside the database. No trigger could
-- compute one, so each row has that of its own path, or address, from the start. A mark of an address has no size.
CREATE TABLE marks (
    digest BLOB PRIMARY KEY,
    size_bytes INTEGER,
    mtime_ns INTEGER,
    inode INTEGER
) WITHOUT ROWID;

CREATE INDEX marks_inode ON marks (inode);

-- The recordings that a message about no single one names, as ,17,18, (digests, failures, bursts).
ALTER TABLE alerts ADD COLUMN about TEXT;

-- Shows whether the digests were made with this key or another.
CREATE TABLE mark_key (digest BLOB NOT NULL);

INSERT INTO mark_key (digest) VALUES (keyed_digest());

ALTER TABLE files ADD COLUMN digest BLOB;

ALTER TABLE lists ADD COLUMN digest BLOB;

-- Digest of what was added: an address, or a file with addresses.
ALTER TABLE recordings ADD COLUMN digest BLOB;

UPDATE files SET digest = keyed_digest(directory, name);

UPDATE lists SET digest = keyed_digest(directory, name);

UPDATE recordings SET digest = keyed_digest(source);

CREATE INDEX lists_digest ON lists (digest);

-- What was deleted, without a word of it. `swept_at` is when nothing was left of it in free pages, in the index and
-- in the write-ahead log either.
CREATE TABLE erasures (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    recordings INTEGER NOT NULL,
    by TEXT NOT NULL,
    why TEXT NOT NULL DEFAULT '',
    swept_at TEXT,
    UNIQUE (at, by, why)
);

CREATE INDEX erasures_unswept ON erasures (id) WHERE swept_at IS NULL;

-- What was left behind by deletions before there were triggers.
DELETE FROM verdicts WHERE alert_id IN (
    SELECT id FROM alerts WHERE recording_id IS NOT NULL AND recording_id NOT IN (SELECT id FROM recordings)
);

DELETE FROM alerts WHERE recording_id IS NOT NULL AND recording_id NOT IN (SELECT id FROM recordings);

DELETE FROM verdicts WHERE alert_id NOT IN (SELECT id FROM alerts);

DELETE FROM sentiments WHERE recording_id NOT IN (SELECT id FROM recordings);

DELETE FROM topics WHERE recording_id NOT IN (SELECT id FROM recordings);

DELETE FROM intents WHERE recording_id NOT IN (SELECT id FROM recordings);

DELETE FROM responses WHERE recording_id NOT IN (SELECT id FROM recordings);

DELETE FROM requests WHERE recording_id NOT IN (SELECT id FROM recordings);

DELETE FROM originals WHERE recording_id NOT IN (SELECT id FROM recordings);

DELETE FROM failures WHERE recording_id NOT IN (SELECT id FROM recordings);

DELETE FROM webhooks WHERE recording_id NOT IN (SELECT id FROM recordings);

UPDATE costs SET recording_id = NULL WHERE recording_id NOT IN (SELECT id FROM recordings);

INSERT OR REPLACE INTO marks (digest, size_bytes, mtime_ns, inode)
SELECT digest, size_bytes, mtime_ns, inode FROM files WHERE recording_id NOT IN (SELECT id FROM recordings);

DELETE FROM files WHERE recording_id NOT IN (SELECT id FROM recordings);

CREATE INDEX recordings_copies ON recordings (duplicate_of) WHERE duplicate_of IS NOT NULL;

CREATE TRIGGER recordings_deleted_results AFTER DELETE ON recordings BEGIN
    DELETE FROM sentiments WHERE recording_id = old.id;
    DELETE FROM topics WHERE recording_id = old.id;
    DELETE FROM intents WHERE recording_id = old.id;
    DELETE FROM responses WHERE recording_id = old.id;
    DELETE FROM requests WHERE recording_id = old.id;
    DELETE FROM originals WHERE recording_id = old.id;
    DELETE FROM failures WHERE recording_id = old.id;
END;

-- What was spent stays, without what it was spent on.
CREATE TRIGGER recordings_deleted_costs AFTER DELETE ON recordings BEGIN
    UPDATE costs SET recording_id = NULL WHERE recording_id = old.id;
END;

CREATE TRIGGER recordings_deleted_alerts AFTER DELETE ON recordings BEGIN
    DELETE FROM verdicts WHERE alert_id IN (SELECT id FROM alerts WHERE recording_id = old.id);
    DELETE FROM alerts WHERE recording_id = old.id;
    UPDATE alerts SET body = '(erased: it named a recording that was deleted)'
    WHERE recording_id IS NULL AND created_at >= old.first_seen_at
        AND (instr(about, ',' || old.id || ',') OR instr(body, old.name));
    UPDATE troubles SET detail = '' WHERE since >= old.first_seen_at AND instr(detail, old.name);
END;

CREATE TRIGGER recordings_deleted_files AFTER DELETE ON recordings BEGIN
    INSERT OR REPLACE INTO marks (digest, size_bytes, mtime_ns, inode)
    SELECT digest, size_bytes, mtime_ns, inode FROM files WHERE recording_id = old.id AND digest IS NOT NULL;
    DELETE FROM files WHERE recording_id = old.id;
    INSERT OR REPLACE INTO marks (digest, size_bytes, mtime_ns, inode)
    SELECT digest, size_bytes, mtime_ns, inode FROM lists WHERE digest = old.digest;
    DELETE FROM lists WHERE digest = old.digest;
    INSERT OR IGNORE INTO marks (digest) SELECT old.digest WHERE old.is_url AND old.digest IS NOT NULL;
END;

CREATE TRIGGER recordings_deleted_copies AFTER DELETE ON recordings BEGIN
    DELETE FROM recordings WHERE duplicate_of = old.id;
END;

CREATE TRIGGER recordings_deleted_noted AFTER DELETE ON recordings BEGIN
    INSERT INTO erasures (at, recordings, by) VALUES (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), 1, 'hand')
    ON CONFLICT (at, by, why) DO UPDATE SET recordings = recordings + 1, swept_at = NULL;
END;

CREATE TRIGGER alerts_deleted AFTER DELETE ON alerts BEGIN
    DELETE FROM verdicts WHERE alert_id = old.id;
END;
