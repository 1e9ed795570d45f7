"""Keep track of the sidecars that are still to be written, and of where the others are.

queue.py calls `note_sidecars` in the transaction that ends a recording. All other functions that write
open a transaction of their own, unless they say otherwise. Times are UTC.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.models import iso
from daemon.storage.connection import Database
from daemon.storage.database import rows, transaction, tuples


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A file that is to be written because its recording was analyzed.

    `original` is the path of the recording's file. `path` is where the sidecar is, or was about to be; by
    `inode` we know whether the file there is ours.
    """

    recording_id: int
    format: str
    original: str
    path: str | None
    inode: int | None
    tries: int


def configure_sidecars(db: Database, wanted: Iterable[tuple[str, Sequence[str]]], now: datetime) -> None:
    """Set the formats that these folders want from now on; formats that none wants are not written.

    Call inside a transaction.
    """
    db.execute("UPDATE folders SET sidecars = '[]'")
    for path, formats in wanted:
        db.execute(
            "INSERT INTO folders (path, configured_at, sidecars) VALUES (?, ?, ?)"
            " ON CONFLICT (path) DO UPDATE SET sidecars = excluded.sidecars",
            (path, iso(now), json.dumps(list(formats))),
        )
    db.execute(
        "UPDATE sidecars SET not_before = NULL WHERE not_before IS NOT NULL AND format NOT IN"
        " (SELECT value FROM folders, json_each(folders.sidecars) WHERE folders.path = sidecars.folder)"
    )


def note_sidecars(db: Database, recording_id: int) -> None:
    """Note that the sidecars of a recording that ended as `done` are to be written, if its folder has any.

    Call inside a transaction.
    """
    db.conn.execute(
        """
        INSERT INTO sidecars (recording_id, format, folder)
        SELECT recordings.id, value, folders.path
        FROM recordings JOIN folders ON folders.path = recordings.folder, json_each(folders.sidecars)
        WHERE recordings.id = ? AND NOT is_url
        ON CONFLICT (recording_id, format) DO UPDATE SET not_before = '', tries = 0, error = NULL
        """,
        (recording_id,),
    )


def sidecars_due(db: Database, folder: str, now: datetime, limit: int) -> list[Sidecar]:
    """Return at most `limit` due sidecars of a folder, once their originals will not move any more."""
    found = rows(
        db,
        f"{_DUE} ORDER BY recording_id LIMIT :limit",
        {"folder": folder, "now": iso(now), "limit": limit},
    )
    return [
        Sidecar(
            recording_id=row["recording_id"],
            format=row["format"],
            original=os.fsdecode(row["source"]),
            path=None if row["path"] is None else os.fsdecode(row["path"]),
            inode=row["inode"],
            tries=row["tries"],
        )
        for row in found
    ]


_DUE = """
SELECT sidecars.*, recordings.source FROM sidecars JOIN recordings ON recordings.id = recording_id
WHERE sidecars.folder = :folder AND sidecars.not_before <= :now AND recordings.state = 'done'
    AND NOT EXISTS (SELECT 1 FROM originals WHERE originals.recording_id = sidecars.recording_id)
"""


def has_sidecar_due(db: Database, folder: str, now: datetime) -> bool:
    """Return whether any sidecar of a folder is due now."""
    return bool(rows(db, f"{_DUE} LIMIT 1", {"folder": folder, "now": iso(now)}))


def plan_sidecar(db: Database, sidecar: Sidecar, path: str, inode: int) -> None:
    """Store the planned path and the inode, by which the file is known as ours after a crash."""
    with transaction(db):
        db.execute(
            "UPDATE sidecars SET path = ?, inode = ? WHERE recording_id = ? AND format = ?",
            (os.fsencode(path), inode, sidecar.recording_id, sidecar.format),
        )


def sidecar_settled(db: Database, sidecar: Sidecar, *, error: str | None = None) -> None:
    """End the work on a sidecar: it is written, or never will be because of `error`."""
    with transaction(db):
        db.execute(
            "UPDATE sidecars SET not_before = NULL, error = ? WHERE recording_id = ? AND format = ?",
            (error, sidecar.recording_id, sidecar.format),
        )


def sidecar_stays(db: Database, sidecar: Sidecar, error: str, not_before: datetime) -> None:
    """Store why a sidecar could not be written; it is due again at `not_before`."""
    with transaction(db):
        db.execute(
            "UPDATE sidecars SET error = ?, not_before = ?, tries = tries + 1"
            " WHERE recording_id = ? AND format = ?",
            (error, iso(not_before), sidecar.recording_id, sidecar.format),
        )


def sidecars_left(db: Database) -> dict[str, Any]:
    """Return how many sidecars are still to be written, and the last error."""
    waiting = "FROM sidecars WHERE not_before IS NOT NULL"
    found = rows(db, f"SELECT count(*) AS n {waiting}")
    last = rows(db, f"SELECT error {waiting} AND error IS NOT NULL ORDER BY not_before DESC LIMIT 1")
    return {"waiting": found[0]["n"], "error": last[0]["error"] if last else None}


def stuck_sidecars(db: Database, tries: int) -> dict[str, tuple[int, str]]:
    """Return by folder how many sidecars failed at least `tries` times, and the error of one."""
    sql = (
        "SELECT folder, count(*) AS n, max(error) AS error FROM sidecars"
        " WHERE not_before IS NOT NULL AND tries >= ? GROUP BY folder"
    )
    return {row["folder"]: (row["n"], row["error"]) for row in rows(db, sql, (tries,))}


def discard_sidecars(db: Database, ids: Collection[int]) -> None:
    """Plan to delete the sidecars of these recordings, and write no new ones; in the caller's transaction."""
    wanted = (json.dumps(list(ids)),)
    among = "recording_id IN (SELECT value FROM json_each(?))"
    db.execute(
        "INSERT OR REPLACE INTO sidecars_left (path, inode, folder) SELECT path, inode, folder FROM sidecars"  # noqa: S608
        f" WHERE {among} AND path IS NOT NULL AND inode IS NOT NULL",
        wanted,
    )
    db.execute(f"DELETE FROM sidecars WHERE {among}", wanted)  # noqa: S608


def left_sidecars(db: Database) -> list[tuple[str, int, str]]:
    """Return the sidecars of deleted recordings that are still to be deleted: path, inode and folder."""
    found = tuples(db, "SELECT path, inode, folder FROM sidecars_left")
    return [(os.fsdecode(path), inode, folder) for path, inode, folder in found]


def left_sidecar_gone(db: Database, path: str) -> None:
    """Note that a deleted recording's sidecar is gone, and that its name is to be swept up."""
    with transaction(db):
        db.execute("DELETE FROM sidecars_left WHERE path = ?", (os.fsencode(path),))
        db.execute("UPDATE erasures SET swept_at = NULL WHERE id = (SELECT max(id) FROM erasures)")
