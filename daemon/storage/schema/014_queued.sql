-- When a recording was put back into the queue; NULL while it has been there since it was first seen.
ALTER TABLE recordings ADD COLUMN queued_at TEXT;
