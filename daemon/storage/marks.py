"""Which files of deleted recordings, and which dropped lists of addresses, are still there.

What is known of those that are long gone is dropped: the marks of files, the rows of lists. A look is a day
on which a folder was listed from end to end. Functions that write run in the caller's transaction.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection

from daemon.storage.connection import Database
from daemon.storage.database import rows, tuples

GONE_LOOKS = 90
"""A file that so many looks did not find is gone for good."""
NOTED_LOOKS = 7
"""A file that is there is noted no more often than this, so that a listing seldom writes."""
BATCH = 1000

_TABLES = ("marks", "lists")


def looked_on(db: Database, folder: str) -> str | None:
    """Return the day (UTC) of the folder's last look, None before the first."""
    found = tuples(db, "SELECT looked_on FROM folders WHERE path = ?", (folder,))
    day: str | None = found[0][0] if found else None
    return day


def note_look(db: Database, folder: str, day: str) -> None:
    """Note that the folder was listed from end to end on this day."""
    db.execute("UPDATE folders SET looks = looks + 1, looked_on = ? WHERE path = ?", (day, folder))


def marks_to_note(db: Database, folder: str, directory: str, names: Collection[str]) -> list[bytes]:
    """Return the digests of the marks and lists of these files in `directory` not noted for a while."""
    listed = ",".join(["(?)"] * len(names))
    found = []
    for table in _TABLES:
        if not tuples(db, f"SELECT 1 FROM {table} LIMIT 1"):  # noqa: S608 - one of _TABLES
            continue
        found += tuples(
            db,
            f"""
            WITH names (name) AS (VALUES {listed})
            SELECT digest FROM names JOIN {table} AS known ON digest = keyed_digest(?, names.name)
            WHERE size_bytes IS NOT NULL AND (known.folder IS NOT ? OR known.looks IS NULL
                OR known.looks <= (SELECT looks FROM folders WHERE path = ?) - ?)
            """,  # noqa: S608 - marks only
            (*map(os.fsencode, names), os.fsencode(directory), folder, folder, NOTED_LOOKS),
        )
    return [digest for (digest,) in found]


def note_marks(db: Database, folder: str, digests: Collection[bytes]) -> None:
    """Note that the files of these marks and lists are in the folder."""
    for table in _TABLES:
        looks = "SELECT looks FROM folders WHERE path = ?1"
        sql = f"UPDATE {table} SET folder = ?1, looks = ({looks}) WHERE digest = ?2"  # noqa: S608
        db.conn.executemany(sql, [(folder, digest) for digest in digests])


def drop_marks(db: Database, folders: Collection[str]) -> int:
    """Drop at most BATCH marks of files that are long gone from these folders, and as many lists.

    Returns how many of that of which there were more.
    """
    return max(
        len(
            rows(
                db,
                f"""
                DELETE FROM {table} WHERE digest IN (
                    SELECT digest FROM {table} AS known JOIN folders ON folders.path = known.folder
                    WHERE folders.path IN (SELECT value FROM json_each(?))
                        AND folders.looks - known.looks >= ?
                    LIMIT ?
                ) RETURNING 1
                """,  # noqa: S608 - one of _TABLES
                (json.dumps(list(folders)), GONE_LOOKS, BATCH),
            )
        )
        for table in _TABLES
    )
