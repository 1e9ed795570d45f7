-- Sidecars of deleted recordings, which are still to be deleted: what was said is in them.
CREATE TABLE sidecars_left (
    path BLOB PRIMARY KEY,
    inode INTEGER NOT NULL,
    folder TEXT NOT NULL
) WITHOUT ROWID;

DROP TRIGGER recordings_sidecars_delete;

CREATE TRIGGER recordings_sidecars_delete AFTER DELETE ON recordings BEGIN
    INSERT OR REPLACE INTO sidecars_left (path, inode, folder)
    SELECT path, inode, folder FROM sidecars
    WHERE recording_id = old.id AND path IS NOT NULL AND inode IS NOT NULL;
    DELETE FROM sidecars WHERE recording_id = old.id;
END;
