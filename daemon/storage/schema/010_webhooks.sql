-- What other programs are told: public, as `alerts`. `destination` is the webhook's name, `event` done, failed or
-- alert, `message_id` the same over all attempts.
CREATE TABLE webhooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    recording_id INTEGER REFERENCES recordings(id),
    destination TEXT NOT NULL,
    target INTEGER NOT NULL DEFAULT 0,
    event TEXT NOT NULL,
    message_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sent', 'failed')),
    reason TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before TEXT,
    created_at TEXT NOT NULL,
    sent_at TEXT,
    error TEXT,
    body TEXT NOT NULL,
    due_at TEXT
);

CREATE INDEX webhooks_outbox ON webhooks (state, destination, target, not_before);

CREATE INDEX webhooks_recording ON webhooks (recording_id);

CREATE TRIGGER recordings_webhooks_delete AFTER DELETE ON recordings BEGIN
    DELETE FROM webhooks WHERE recording_id = old.id;
END;

-- Not public: who wants to be told what, as the configuration of the last start had it.
CREATE TABLE webhook_targets (
    name TEXT PRIMARY KEY,
    events TEXT NOT NULL,
    transcript INTEGER NOT NULL
) WITHOUT ROWID;
