-- The shape of a recording's sound as the web pages draw it: a byte for each part of it, 255 for the loudest.
CREATE TABLE waveforms (
    recording_id INTEGER PRIMARY KEY REFERENCES recordings(id),
    peaks BLOB NOT NULL
);

CREATE TRIGGER recordings_deleted_waveforms AFTER DELETE ON recordings BEGIN
    DELETE FROM waveforms WHERE recording_id = old.id;
END;
