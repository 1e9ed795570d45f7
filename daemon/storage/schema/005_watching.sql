-- How each folder is watched and why, and what it takes to read a file only once.

ALTER TABLE folders ADD COLUMN reason TEXT;

ALTER TABLE folders ADD COLUMN settle_seconds REAL;

ALTER TABLE folders ADD COLUMN missed_by_events INTEGER NOT NULL DEFAULT 0;

-- Files of the same size may be equal: only those are compared before one is sent.
CREATE INDEX recordings_size ON recordings (size_bytes, state);

-- Asked for again by a person, whatever is known of the same bytes or address.
ALTER TABLE recordings ADD COLUMN anew INTEGER NOT NULL DEFAULT 0;
