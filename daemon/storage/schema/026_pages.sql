-- What the web pages show and take.

-- Where the first quote of an alert begins, in seconds: what its link leads to.
ALTER TABLE alerts ADD COLUMN moment_seconds REAL;

-- Who judged: the user that a proxy named, `web` from the pages, NULL from the command line.
ALTER TABLE verdicts ADD COLUMN given_by TEXT;

-- What people did by the web pages, besides judging. `subject` is an id, or the name of a rule or a destination.
CREATE TABLE actions (
    id INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    by TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL DEFAULT ''
);

-- The newest recordings first, by when they were made.
CREATE INDEX recordings_made ON recordings (coalesce(recorded_at, modified_at, first_seen_at), id);
