-- What each billed request probably cost, and what is left of the limits.

-- One row for each request that was billed, or may have been. `at` is when its result was stored, or when it was
-- clear that there is none. The folder and the money stay when the recording goes.
CREATE TABLE costs (
    id INTEGER PRIMARY KEY,
    recording_id INTEGER REFERENCES recordings(id) ON DELETE SET NULL,
    folder TEXT,
    at TEXT NOT NULL,
    model TEXT,
    seconds REAL,
    channels INTEGER,
    input_tokens INTEGER,
    output_tokens INTEGER,
    usd REAL,
    prices_of TEXT
);

CREATE INDEX costs_at ON costs (at, folder, usd);

CREATE INDEX costs_recording ON costs (recording_id);

INSERT INTO costs (recording_id, folder, at, model, seconds, channels, usd)
SELECT id, folder, analyzed_at, model, duration_seconds, channels, estimated_cost_usd
FROM recordings WHERE estimated_cost_usd IS NOT NULL AND analyzed_at IS NOT NULL ORDER BY analyzed_at, id;

-- The expected cost of a request: it counts while the request is under way, and stays if the reply is lost.
ALTER TABLE requests ADD COLUMN model TEXT;

ALTER TABLE requests ADD COLUMN seconds REAL;

ALTER TABLE requests ADD COLUMN channels INTEGER;

ALTER TABLE requests ADD COLUMN usd REAL;

ALTER TABLE requests ADD COLUMN prices_of TEXT;

-- For each limit what was used of it since its period began, so that a claim need not add up all costs.
CREATE TABLE periods (
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    started_at TEXT NOT NULL,
    most REAL NOT NULL,
    usd REAL NOT NULL,
    recordings INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT '' CHECK (state IN ('', 'warned', 'reached', 'lifted')),
    PRIMARY KEY (name, scope)
) WITHOUT ROWID;
