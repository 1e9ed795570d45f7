-- Behind `after_success`, `after_failure` and dropped lists of addresses: earshot's own.

-- For which outcomes the running configuration has something done to the originals of a folder.
CREATE TABLE afterwards (
    folder TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('success', 'failure')),
    PRIMARY KEY (folder, outcome)
) WITHOUT ROWID;

-- What is still to be done with originals whose recordings have ended.
CREATE TABLE originals (
    recording_id INTEGER PRIMARY KEY REFERENCES recordings(id),
    folder TEXT NOT NULL,
    outcome TEXT NOT NULL,
    not_before TEXT NOT NULL DEFAULT '',
    tries INTEGER NOT NULL DEFAULT 0,
    target BLOB,
    error TEXT
);

CREATE INDEX originals_due ON originals (folder, not_before);

-- In the transaction of every end. An incomplete file stays: for all that is known, it is still being written.
CREATE TRIGGER recordings_ended AFTER UPDATE OF state ON recordings
WHEN new.state IN ('done', 'duplicate', 'failed') AND old.state != new.state AND new.is_url = 0
    AND coalesce(new.error_code, '') != 'incomplete'
BEGIN
    INSERT OR REPLACE INTO originals (recording_id, folder, outcome)
    SELECT new.id, folder, outcome FROM afterwards
    WHERE folder = new.folder
        AND outcome = CASE new.state WHEN 'failed' THEN 'failure' ELSE 'success' END;
END;

CREATE TRIGGER recordings_again AFTER UPDATE OF state ON recordings
WHEN new.state IN ('waiting', 'analyzing') AND old.state IN ('done', 'duplicate', 'failed')
BEGIN
    DELETE FROM originals WHERE recording_id = new.id;
END;

-- Dropped lists of addresses: they have no row in `recordings`, and are read once for each content.
CREATE TABLE lists (
    directory BLOB NOT NULL,
    name BLOB NOT NULL,
    folder TEXT NOT NULL,
    inode INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    sha256 TEXT,
    PRIMARY KEY (directory, name)
) WITHOUT ROWID;

CREATE INDEX lists_content ON lists (sha256);

CREATE INDEX recordings_url ON recordings (source, request_key) WHERE is_url = 1;
