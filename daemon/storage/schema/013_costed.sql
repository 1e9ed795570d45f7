-- Whether what a request cost is in `costs`. What there was before is, or cannot be known.
ALTER TABLE requests ADD COLUMN costed INTEGER NOT NULL DEFAULT 1;
