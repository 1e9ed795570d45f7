-- Numbers for metrics that only rise, whatever retention and `forget` delete: earshot's own.

-- Requests to the API that have ended, by how long they took: `up_to` is the upper bound in seconds.
CREATE TABLE request_counters (
    outcome TEXT NOT NULL,
    up_to REAL NOT NULL,
    requests INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0.0,
    PRIMARY KEY (outcome, up_to)
) WITHOUT ROWID;

-- What was analyzed of each folder ('' for none), and when the last of it was stored.
CREATE TABLE folder_counters (
    folder TEXT PRIMARY KEY,
    analyzed INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0.0,
    usd REAL NOT NULL DEFAULT 0.0,
    last_at TEXT
) WITHOUT ROWID;

INSERT INTO request_counters (outcome, up_to, requests, seconds)
SELECT outcome, CASE
        WHEN took <= 1 THEN 1.0 WHEN took <= 2 THEN 2.0 WHEN took <= 5 THEN 5.0 WHEN took <= 10 THEN 10.0
        WHEN took <= 20 THEN 20.0 WHEN took <= 30 THEN 30.0 WHEN took <= 60 THEN 60.0
        WHEN took <= 120 THEN 120.0 WHEN took <= 300 THEN 300.0 WHEN took <= 600 THEN 600.0
        ELSE 9e999
    END, count(*), total(took)
FROM (
    SELECT outcome, max(0.0, (julianday(ended_at) - julianday(started_at)) * 86400) AS took
    FROM requests WHERE outcome <> 'sending'
)
GROUP BY 1, 2;

INSERT INTO folder_counters (folder, analyzed, seconds, last_at)
SELECT coalesce(folder, ''), count(*), total(duration_seconds), max(analyzed_at)
FROM recordings WHERE state = 'done' GROUP BY 1;

INSERT INTO folder_counters (folder, usd)
SELECT coalesce(folder, ''), total(usd) FROM costs WHERE 1 GROUP BY 1
ON CONFLICT (folder) DO UPDATE SET usd = excluded.usd;

-- The recording that has waited longest.
CREATE INDEX recordings_waiting ON recordings (coalesce(queued_at, first_seen_at)) WHERE state = 'waiting';
