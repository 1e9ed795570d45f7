-- What is known of dropped lists of addresses is dropped as marks are, once the file is long gone: its name may be that
-- of a person. Lists that are gone already count from now on.

ALTER TABLE lists ADD COLUMN looks INTEGER;

UPDATE lists SET looks = (SELECT looks FROM folders WHERE path = lists.folder);
