"""Which files of deleted recordings are still there: the marks of those that are long gone are dropped.

A look is a day on which a folder was listed from end to end. Functions that write run in the caller's
transaction.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection

from sqlite_utils import Database

from daemon.storage.database import rows, tuples

GONE_LOOKS = 90
"""A file that so many looks did not find is gone for good."""
NOTED_LOOKS = 7
"""A file that is there is noted no more often than this, so that a listing seldom writes."""
BATCH = 1000


def looked_on(db: Database, folder: str) -> str | None:
    """Return the day (UTC) of the folder's last look, None before the first."""
    found = tuples(db, "SELECT looked_on FROM folders WHERE path = ?", (folder,))
    day: str | None = found[0][0] if found else None
    return day


def note_look(db: Database, folder: str, day: str) -> None:
    """Note that the folder was listed from end to end on this day."""
    db.execute("UPDATE folders SET looks = looks + 1, looked_on = ? WHERE path = ?", (day, folder))


def marks_to_note(db: Database, folder: str, directory: str, names: Collection[str]) -> list[bytes]:
    """Return the digests of the marks of these files in `directory` that were not noted for a while."""
    if not tuples(db, "SELECT 1 FROM marks LIMIT 1"):
        return []
    listed = ",".join(["(?)"] * len(names))
    found = tuples(
        db,
        f"""
        WITH names (name) AS (VALUES {listed})
        SELECT digest FROM names JOIN marks ON digest = keyed_digest(?, name)
        WHERE size_bytes IS NOT NULL AND (marks.folder IS NOT ? OR marks.looks IS NULL
            OR marks.looks <= (SELECT looks FROM folders WHERE path = ?) - ?)
        """,  # noqa: S608 - marks only
        (*map(os.fsencode, names), os.fsencode(directory), folder, folder, NOTED_LOOKS),
    )
    return [digest for (digest,) in found]


def note_marks(db: Database, folder: str, digests: Collection[bytes]) -> None:
    """Note that the files of these marks are in the folder."""
    sql = (
        "UPDATE marks SET folder = ?1, looks = (SELECT looks FROM folders WHERE path = ?1) WHERE digest = ?2"
    )
    db.conn.executemany(sql, [(folder, digest) for digest in digests])


def drop_marks(db: Database, folders: Collection[str]) -> int:
    """Drop at most BATCH marks of files that are long gone from these folders; returns how many."""
    return len(
        rows(
            db,
            """
            DELETE FROM marks WHERE digest IN (
                SELECT digest FROM marks JOIN folders ON folders.path = marks.folder
                WHERE folders.path IN (SELECT value FROM json_each(?)) AND folders.looks - marks.looks >= ?
                LIMIT ?
            ) RETURNING 1
            """,
            (json.dumps(list(folders)), GONE_LOOKS, BATCH),
        )
    )
