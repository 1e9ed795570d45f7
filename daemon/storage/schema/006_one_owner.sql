-- storage/queue.py writes what follows from the end of a recording; triggers did before.

DROP TRIGGER recordings_ended;

DROP TRIGGER recordings_again;

DROP TRIGGER recordings_failed;

DROP TRIGGER recordings_failed_at_once;

-- Whether something is done to the originals of a folder when their recordings end so: as the configuration of
-- the last start had it. In place of the table `afterwards`.
ALTER TABLE folders ADD COLUMN after_success INTEGER NOT NULL DEFAULT 0;

ALTER TABLE folders ADD COLUMN after_failure INTEGER NOT NULL DEFAULT 0;

INSERT OR IGNORE INTO folders (path, configured_at)
SELECT folder, strftime('%Y-%m-%dT%H:%M:%fZ', 'now') FROM afterwards;

UPDATE folders SET
    after_success = EXISTS (SELECT 1 FROM afterwards WHERE folder = path AND outcome = 'success'),
    after_failure = EXISTS (SELECT 1 FROM afterwards WHERE folder = path AND outcome = 'failure');

DROP TABLE afterwards;
