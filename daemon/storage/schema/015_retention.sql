-- Indexes for retention: each holds only what is still there.

CREATE INDEX recordings_words ON recordings (analyzed_at) WHERE transcript IS NOT NULL OR summary IS NOT NULL;

CREATE INDEX responses_received ON responses (received_at);

CREATE INDEX alerts_created ON alerts (created_at);

CREATE INDEX recordings_originals ON recordings (folder, analyzed_at)
WHERE state IN ('done', 'duplicate') AND NOT is_url AND original_deleted_at IS NULL;
