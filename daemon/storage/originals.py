"""Keep track of originals to be deleted or moved because their recordings have ended.

queue.py writes the rows in the transaction that ends a recording, for the folders that `configure_originals`
named. Times are UTC.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from daemon.models import from_iso, iso, shown_path, utc_now
from daemon.storage.connection import Database
from daemon.storage.database import rows, tuples, value
from daemon.storage.recordings import split_path, stored_place

Outcome = Literal["success", "failure", "deletion"]


@dataclass(frozen=True, slots=True)
class Original:
    """A file that is to be moved or deleted, because its recording has ended.

    `stamp` is size, modification time and inode of the file as it was taken in; None when by now the file
    belongs to another recording, or to none. `target` is where an interrupted move was going.
    """

    recording_id: int
    outcome: Outcome
    path: str
    folder: str
    sha256: str | None
    stamp: tuple[int, int, int] | None
    is_anothers: bool
    tries: int
    target: str | None


def configure_originals(db: Database, wanted: Collection[tuple[str, Outcome]], now: datetime) -> None:
    """From now on keep track of originals for these folders and outcomes only; forget all others."""
    db.execute("UPDATE folders SET after_success = 0, after_failure = 0")
    for path, outcome in wanted:
        db.execute(
            f"INSERT INTO folders (path, configured_at, after_{outcome}) VALUES (?, ?, 1)"  # noqa: S608
            f" ON CONFLICT (path) DO UPDATE SET after_{outcome} = 1",
            (path, iso(now)),
        )
    db.execute(
        # Retention plans its deletions anew, by what the configuration says now.
        "DELETE FROM originals WHERE outcome = 'deletion'"
        " OR NOT EXISTS (SELECT 1 FROM folders WHERE path = folder"
        " AND iif(outcome = 'success', after_success, after_failure))"
    )


def originals_due(db: Database, folder: str, now: datetime, limit: int) -> list[Original]:
    """Return at most `limit` originals of a folder that are due to be moved or deleted, oldest first."""
    found = rows(
        db,
        """
        SELECT originals.*, recordings.source, recordings.sha256 FROM originals
        JOIN recordings ON recordings.id = originals.recording_id
        WHERE originals.folder = ? AND originals.not_before <= ? ORDER BY originals.recording_id LIMIT ?
        """,
        (folder, iso(now), limit),
    )
    return [_original(db, row) for row in found]


def original_to_delete(db: Database, recording_id: int) -> Original | None:
    """Return the file of a recording, whatever its state; None for a hosted one."""
    found = rows(
        db,
        "SELECT id AS recording_id, 'deletion' AS outcome, folder, 0 AS tries, NULL AS target, source, sha256"
        " FROM recordings WHERE id = ? AND NOT is_url",
        (recording_id,),
    )
    return _original(db, found[0]) if found else None


def _original(db: Database, row: dict[str, Any]) -> Original:
    owners = tuples(
        db,
        "SELECT recording_id, size_bytes, mtime_ns, inode FROM files WHERE directory = ? AND name = ?",
        stored_place(os.fsdecode(row["source"])),
    )
    is_ours = bool(owners) and owners[0][0] == row["recording_id"]
    return Original(
        recording_id=row["recording_id"],
        outcome=row["outcome"],
        path=os.fsdecode(row["source"]),
        folder=row["folder"],
        sha256=row["sha256"],
        stamp=owners[0][1:] if is_ours else None,
        is_anothers=bool(owners) and not is_ours,
        tries=row["tries"],
        target=None if row["target"] is None else os.fsdecode(row["target"]),
    )


def seconds_until_original(db: Database, folder: str, now: datetime) -> float | None:
    """Return the seconds until the next original of the folder is due; None when there is none."""
    due = value(db, "SELECT min(not_before) FROM originals WHERE folder = ?", (folder,))
    # `due` is empty before the first try: due at once.
    return None if due is None else max(0.0, (from_iso(due) - now).total_seconds()) if due else 0.0


def has_original_due(db: Database, now: datetime) -> bool:
    """Return whether any original is due to be moved or deleted now."""
    return value(db, "SELECT 1 FROM originals WHERE not_before <= ? LIMIT 1", (iso(now),)) is not None


def plan_move(db: Database, recording_id: int, target: str) -> None:
    """Store the path that the original is about to get, so that a crash does not lose it."""
    db.execute("UPDATE originals SET target = ? WHERE recording_id = ?", (os.fsencode(target), recording_id))


def original_settled(
    db: Database, original: Original, *, is_away: bool = False, moved_to: str | None = None
) -> None:
    """End the work on an original; the recording of a file that was moved gets its path, `moved_to`.

    With `is_away` or `moved_to` the file's old path is forgotten: what appears there again is a new file.
    """
    if moved_to is not None:
        name = shown_path(split_path(moved_to)[1])
        db.execute(
            "UPDATE recordings SET path = ?, source = ?, name = ? WHERE id = ?",
            (shown_path(moved_to), os.fsencode(moved_to), name, original.recording_id),
        )
    if is_away or moved_to is not None:
        db.execute(
            "DELETE FROM files WHERE directory = ? AND name = ? AND recording_id = ?",
            (*stored_place(original.path), original.recording_id),
        )
    if original.outcome == "deletion":
        sql = "UPDATE recordings SET original_deleted_at = ? WHERE id = ?"
        db.execute(sql, (iso(utc_now()), original.recording_id))
    db.execute("DELETE FROM originals WHERE recording_id = ?", (original.recording_id,))


def original_stays(db: Database, original: Original, error: str | None, not_before: datetime) -> None:
    """Store why an original could not be moved or deleted, if known; it is due again at `not_before`."""
    db.execute(
        "UPDATE originals SET error = ?, not_before = ?, tries = tries + 1 WHERE recording_id = ?",
        (error, iso(not_before), original.recording_id),
    )


def originals_left(db: Database) -> dict[str, Any]:
    """Return how many originals are still to be moved or deleted, and the last error."""
    last = "SELECT error FROM originals WHERE error IS NOT NULL ORDER BY not_before DESC LIMIT 1"
    return {"waiting": value(db, "SELECT count(*) FROM originals"), "error": value(db, last)}


def stuck_originals(db: Database, tries: int) -> dict[str, tuple[int, str]]:
    """Return by folder how many originals failed at least `tries` times, and the error of one."""
    sql = "SELECT folder, count(*) AS n, max(error) AS error FROM originals"
    sql += " WHERE tries >= ? AND error IS NOT NULL GROUP BY folder"
    return {row["folder"]: (row["n"], row["error"]) for row in rows(db, sql, (tries,))}


def original_of_recording(db: Database, recording_id: int) -> dict[str, Any] | None:
    """Return what is still to be done with one recording's original; None when nothing is."""
    found = rows(
        db,
        "SELECT outcome, tries, nullif(not_before, '') AS not_before, error FROM originals"
        " WHERE recording_id = ?",
        (recording_id,),
    )
    return found[0] if found else None
