-- Marks of files that are long gone are dropped. Which they are is counted in looks: days on which a folder was listed
-- from end to end. A folder that is away has none, and no wrong clock can make any.

ALTER TABLE folders ADD COLUMN looks INTEGER NOT NULL DEFAULT 0;

ALTER TABLE folders ADD COLUMN looked_on TEXT;

-- The folder that the file was in, and how many looks it had had when the file was last seen. NULL for marks of
-- addresses, and for older ones until their files are seen again: those stay.
ALTER TABLE marks ADD COLUMN folder TEXT;

ALTER TABLE marks ADD COLUMN looks INTEGER;

DROP TRIGGER recordings_deleted_files;

CREATE TRIGGER recordings_deleted_files AFTER DELETE ON recordings BEGIN
    INSERT OR REPLACE INTO marks (digest, size_bytes, mtime_ns, inode, folder, looks)
    SELECT digest, size_bytes, mtime_ns, inode, folder, (SELECT looks FROM folders WHERE path = files.folder)
    FROM files WHERE recording_id = old.id AND digest IS NOT NULL;
    DELETE FROM files WHERE recording_id = old.id;
    INSERT OR REPLACE INTO marks (digest, size_bytes, mtime_ns, inode, folder, looks)
    SELECT digest, size_bytes, mtime_ns, inode, folder, (SELECT looks FROM folders WHERE path = lists.folder)
    FROM lists WHERE digest = old.digest;
    DELETE FROM lists WHERE digest = old.digest;
    INSERT OR IGNORE INTO marks (digest) SELECT old.digest WHERE old.is_url AND old.digest IS NOT NULL;
END;
