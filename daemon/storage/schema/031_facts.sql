-- What lists are filtered and ordered by, in the order of the ids and without the texts: a row of `recordings` is as large
-- as its transcript, and what stands behind that in the row is found by reading through it.
CREATE INDEX recordings_facts ON recordings (
    id, state, folder, path, name, first_seen_at, recorded_at, modified_at, average_sentiment, average_sentiment_score,
    duration_seconds, estimated_cost_usd
);

CREATE INDEX recordings_not_analyzed ON recordings (id) WHERE not_analyzed <> '{}';
