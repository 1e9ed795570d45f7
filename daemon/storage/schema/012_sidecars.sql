-- Results as files beside the originals: what is to be written (`not_before` says from when), and what was, and
-- where. earshot's own.
CREATE TABLE sidecars (
    recording_id INTEGER NOT NULL REFERENCES recordings(id),
    format TEXT NOT NULL,
    folder TEXT NOT NULL,
    -- The file, and the inode by which it is known as ours.
    path BLOB,
    inode INTEGER,
    not_before TEXT DEFAULT '',
    tries INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    PRIMARY KEY (recording_id, format)
) WITHOUT ROWID;

CREATE INDEX sidecars_due ON sidecars (folder, not_before);

CREATE TRIGGER recordings_sidecars_delete AFTER DELETE ON recordings BEGIN
    DELETE FROM sidecars WHERE recording_id = old.id;
END;

-- The formats that the configuration of the last start wants in a folder, as JSON.
ALTER TABLE folders ADD COLUMN sidecars TEXT NOT NULL DEFAULT '[]';
