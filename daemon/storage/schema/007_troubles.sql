-- What operations hear of: a row for each trouble from its beginning to its end, in place of the table `notices`.

CREATE TABLE troubles (
    id INTEGER PRIMARY KEY,
    cause TEXT NOT NULL,
    subject TEXT NOT NULL DEFAULT '',
    since TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    told_at TEXT,
    over_at TEXT,
    -- When its end was dealt with. The row stays for a while: how often a trouble came back is counted.
    closed_at TEXT
);

CREATE UNIQUE INDEX troubles_lasting ON troubles (cause, subject) WHERE over_at IS NULL;

-- What was told already is not told again.
INSERT INTO troubles (cause, subject, since, told_at)
SELECT cause, subject, since, told_at FROM notices;

DROP TABLE notices;

-- A pause was told by a message of its own kind, known by its title.
INSERT INTO troubles (cause, subject, since, detail, told_at)
SELECT cause, scope, since, reason, (
    SELECT max(created_at) FROM alerts
    WHERE recording_id IS NULL AND created_at >= pauses.since
        AND title = '[critical] earshot paused - ' || CASE pauses.cause
            WHEN 'key' THEN 'the API key is refused'
            WHEN 'credit' THEN 'the account is out of credit'
            WHEN 'request' THEN 'the request is refused'
            WHEN 'service' THEN 'the service is down'
            WHEN 'store' THEN 'the database cannot be written'
        END
)
FROM pauses;
