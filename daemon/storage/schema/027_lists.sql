-- What the lists of the web pages are found by, however many recordings there are.

-- The lowest score of a recording's passages.
CREATE TABLE worst_scores (
    recording_id INTEGER PRIMARY KEY REFERENCES recordings(id),
    score REAL NOT NULL
);

CREATE INDEX worst_scores_score ON worst_scores (score, recording_id);

INSERT INTO worst_scores (recording_id, score)
SELECT recording_id, min(sentiment_score) FROM sentiments
WHERE sentiment_score IS NOT NULL GROUP BY recording_id;

-- The fields of the metadata, as the view recording_metadata has them.
CREATE TABLE metadata_values (
    key TEXT NOT NULL,
    value TEXT NOT NULL COLLATE NOCASE,
    recording_id INTEGER NOT NULL REFERENCES recordings(id),
    PRIMARY KEY (key, value, recording_id)
) WITHOUT ROWID;

CREATE INDEX metadata_values_recording ON metadata_values (recording_id);

INSERT OR IGNORE INTO metadata_values (key, value, recording_id)
SELECT field.key, field.value, recordings.id FROM recordings, json_each(recordings.metadata) AS field
WHERE field.value IS NOT NULL;

CREATE TRIGGER recordings_metadata_insert AFTER INSERT ON recordings WHEN new.metadata <> '{}' BEGIN
    INSERT OR IGNORE INTO metadata_values (key, value, recording_id)
    SELECT key, value, new.id FROM json_each(new.metadata) WHERE value IS NOT NULL;
END;

CREATE TRIGGER recordings_metadata_update AFTER UPDATE OF metadata ON recordings
WHEN new.metadata IS NOT old.metadata BEGIN
    DELETE FROM metadata_values WHERE recording_id = old.id;
    INSERT OR IGNORE INTO metadata_values (key, value, recording_id)
    SELECT key, value, new.id FROM json_each(new.metadata) WHERE value IS NOT NULL;
END;

CREATE TRIGGER recordings_deleted_lists AFTER DELETE ON recordings BEGIN
    DELETE FROM metadata_values WHERE recording_id = old.id;
    DELETE FROM worst_scores WHERE recording_id = old.id;
END;

CREATE INDEX recordings_average ON recordings (average_sentiment_score, id);

CREATE INDEX recordings_length ON recordings (duration_seconds, id);
