-- Of a hosted recording's address people see host and name: a password, a query or any other part of the path may be
-- what opens it to everybody. As `models.shown_address`; `source` keeps the whole.

WITH
    whole (id, name, address) AS (
        SELECT id, name, CAST(source AS TEXT) FROM recordings WHERE is_url = 1
    ),
    located (id, name, address, scheme, rest) AS (
        SELECT id, name, address, substr(address, 1, instr(address, '://') + 2),
            substr(address, instr(address, '://') + 3, min(
                instr(address || '?', '?'), instr(address || '#', '#')
            ) - instr(address, '://') - 3)
        FROM whole
    ),
    parted (id, name, address, scheme, authority, path) AS (
        SELECT id, name, address, scheme, substr(rest, 1, instr(rest || '/', '/') - 1),
            rtrim(substr(rest, instr(rest || '/', '/') + 1), '/')
        FROM located
    ),
    shown (id, address, path) AS (
        SELECT id, address, scheme
            -- What follows the last @.
            || replace(authority, rtrim(authority, replace(authority, '@', '')), '')
            || CASE WHEN path = '' THEN '' WHEN instr(substr(path, 2), '/') THEN '/…/' || name ELSE '/' || name END
        FROM parted
    )
UPDATE recordings
SET path = shown.path, error = replace(error, shown.address, shown.path)
FROM shown WHERE shown.id = recordings.id;

-- The row that says of a dropped file which of its addresses were not taken is looked for by the file's path.
CREATE INDEX recordings_refused ON recordings (source) WHERE error_code IN ('bad_address', 'corrected');
