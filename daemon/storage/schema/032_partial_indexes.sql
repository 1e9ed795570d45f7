-- A recording that waits, or was left alone, is in no index by what only an analysis says.

DROP INDEX recordings_content;

CREATE INDEX recordings_content ON recordings (sha256, request_key) WHERE sha256 IS NOT NULL;

DROP INDEX recordings_average;

CREATE INDEX recordings_average ON recordings (average_sentiment_score, id) WHERE average_sentiment_score IS NOT NULL;

DROP INDEX recordings_length;

CREATE INDEX recordings_length ON recordings (duration_seconds, id) WHERE duration_seconds IS NOT NULL;

-- Every listing asks of every known file whether its recording was set aside because there was no file.
CREATE INDEX recordings_gone ON recordings (id) WHERE state = 'skipped' AND error_code = 'gone';
