-- What lists are found by that are filtered by intent or topic, without a look at every passage.
CREATE INDEX intents_label ON intents (intent, recording_id);

CREATE INDEX topics_label ON topics (topic, recording_id);
