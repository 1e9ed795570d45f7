-- Whether the cost of a request is in `costs`. Older costs are in it, or cannot be known.
ALTER TABLE requests ADD COLUMN costed INTEGER NOT NULL DEFAULT 1;
