-- Views for common questions: public, as the tables, and documented in docs/tables.md. Columns may be added to them, none
-- renamed. A view or table of that name that somebody else made stays as it is. Days and months are those of UTC.

-- Every analyzed recording, with when it was made, as far as known.
CREATE VIEW IF NOT EXISTS conversations AS
SELECT id, coalesce(recorded_at, modified_at, first_seen_at) AS made_at, folder, name, metadata,
    duration_seconds, average_sentiment, average_sentiment_score, (
        SELECT min(sentiment_score) FROM sentiments WHERE recording_id = recordings.id
    ) AS worst_score, (
        SELECT count(*) FROM alerts WHERE recording_id = recordings.id AND state <> 'suppressed'
    ) AS alerts, estimated_cost_usd, summary, path
FROM recordings WHERE state = 'done';

-- The fields of the metadata, a row each: agent, caller and what else `filename_pattern` reads.
CREATE VIEW IF NOT EXISTS recording_metadata AS
SELECT recordings.id AS recording_id, field.key AS key, field.value AS value
FROM recordings, json_each(recordings.metadata) AS field;

-- What was said in a bad mood, and where to listen to it.
CREATE VIEW IF NOT EXISTS negative_passages AS
SELECT recording_id, position, name, folder, coalesce(recorded_at, modified_at, first_seen_at) AS made_at,
    start_seconds, speaker, sentiment_score, text
FROM sentiments JOIN recordings ON recordings.id = recording_id
WHERE sentiment = 'negative' AND state = 'done';

-- What the conversations were about.
CREATE VIEW IF NOT EXISTS intent_counts AS
SELECT min(intent) AS intent, count(DISTINCT recording_id) AS recordings, count(*) AS passages,
    avg(confidence_score) AS average_confidence, min(recording_id) AS first_recording_id,
    max(recording_id) AS last_recording_id
FROM intents WHERE intent IS NOT NULL GROUP BY lower(intent);

CREATE VIEW IF NOT EXISTS topic_counts AS
SELECT min(topic) AS topic, count(DISTINCT recording_id) AS recordings, count(*) AS passages,
    avg(confidence_score) AS average_confidence, min(recording_id) AS first_recording_id,
    max(recording_id) AS last_recording_id
FROM topics WHERE topic IS NOT NULL GROUP BY lower(topic);

-- How the conversations of a day went, by folder.
CREATE VIEW IF NOT EXISTS daily_figures AS
SELECT substr(coalesce(recorded_at, modified_at, first_seen_at), 1, 10) AS day, folder,
    count(*) AS recordings, total(duration_seconds) / 3600 AS hours,
    avg(average_sentiment_score) AS average_score,
    total(average_sentiment = 'negative') / nullif(count(average_sentiment), 0) AS negative_share
FROM recordings WHERE state = 'done' GROUP BY 1, 2;

-- What became of the alerts of each rule, and what people thought of them.
CREATE VIEW IF NOT EXISTS rule_alerts AS
SELECT fired.value AS rule, count(*) AS alerts, sum(state = 'sent') AS sent, sum(state = 'suppressed') AS suppressed,
    sum(state = 'failed') AS failed, coalesce(sum(verdict = 'useful'), 0) AS useful,
    coalesce(sum(verdict = 'noise'), 0) AS noise, avg(verdict = 'useful') AS precision,
    max(created_at) AS last_at
FROM alerts JOIN json_each(alerts.rules) AS fired LEFT JOIN verdicts ON verdicts.alert_id = alerts.id
GROUP BY fired.value;

-- What was spent, by estimate.
CREATE VIEW IF NOT EXISTS monthly_costs AS
SELECT substr(at, 1, 7) AS month, folder, model, count(*) AS requests, total(seconds) / 3600 AS hours,
    total(usd) AS usd, sum(usd IS NULL) AS unpriced
FROM costs GROUP BY 1, 2, 3;
