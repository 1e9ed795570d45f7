-- The clock as retention last saw it: it deletes nothing while the time may be wrong. One row. `trusted_at` is the
-- newest time that was not in doubt; since `doubted_since` the clock is ahead of that, and was seen so at `doubted_at`.
CREATE TABLE clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    trusted_at TEXT NOT NULL,
    doubted_since TEXT,
    doubted_at TEXT
);
