-- What people thought of alerts: one judgement each.

CREATE TABLE verdicts (
    alert_id INTEGER PRIMARY KEY REFERENCES alerts(id),
    verdict TEXT NOT NULL CHECK (verdict IN ('useful', 'noise')),
    given_at TEXT NOT NULL
);
