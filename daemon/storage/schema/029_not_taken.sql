-- What a folder's listing and intake passed over, by reason, as the service saw it last: how many files, and a list (JSON)
-- of some of them, each with its path, why, and since when. Rewritten whenever it changes.
CREATE TABLE not_taken (
    folder TEXT NOT NULL,
    reason TEXT NOT NULL,
    count INTEGER NOT NULL,
    files TEXT NOT NULL,
    PRIMARY KEY (folder, reason)
) WITHOUT ROWID;
