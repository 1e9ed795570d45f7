-- What each folder was like at its last listing: how many directories it has, how many of them the kernel watches for
-- us, and when the kernel last said that anything happened.
ALTER TABLE folders ADD COLUMN directories INTEGER;

ALTER TABLE folders ADD COLUMN watches INTEGER;

ALTER TABLE folders ADD COLUMN last_event_at TEXT;
