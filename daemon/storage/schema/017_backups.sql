-- Copies that `earshot backup` made: when, where, and how much is in each.
CREATE TABLE backups (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    path TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    recordings INTEGER NOT NULL
);
