"""Keep what is known of each watched folder: since when, whether it is there, whether it was listed once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.models import from_iso, iso
from daemon.storage.connection import Database
from daemon.storage.database import rows


@dataclass(frozen=True, slots=True)
class FolderRow:
    """A row of `folders`: `configured_at` is when earshot first looked for the folder, there or not.

    Until `baseline_done`, files older than that count as already there.
    """

    path: str
    configured_at: datetime
    baseline_done: bool


def configure_folder(db: Database, path: str, now: datetime) -> FolderRow:
    """Return the folder's row, added with `now` as `configured_at` when there is none yet."""
    (row,) = rows(
        db,
        "INSERT INTO folders (path, configured_at) VALUES (?, ?)"
        " ON CONFLICT (path) DO UPDATE SET path = excluded.path RETURNING configured_at, baseline_done",
        (path, iso(now)),
    )
    return FolderRow(path, from_iso(row["configured_at"]), bool(row["baseline_done"]))


def folder_available(
    db: Database, path: str, method: str, reason: str, settle_seconds: float, now: datetime
) -> None:
    """Note that the folder is there, watched by `method` for this `reason`; keep the first such time."""
    db.execute(
        "UPDATE folders SET available = 1, method = ?, reason = ?, settle_seconds = ?,"
        " first_seen_at = coalesce(first_seen_at, ?) WHERE path = ?",
        (method, reason, settle_seconds, iso(now), path),
    )


def folder_unavailable(db: Database, path: str, reason: str) -> None:
    """Note that the folder is missing, cannot be read or does not answer, as `reason` says."""
    db.execute("UPDATE folders SET available = 0, reason = ? WHERE path = ?", (reason, path))


def count_missed(db: Database, path: str, files: int) -> None:
    """Count files that a listing alone found, although the folder is watched by events."""
    db.execute("UPDATE folders SET missed_by_events = missed_by_events + ? WHERE path = ?", (files, path))


def folder_scanned(
    db: Database,
    path: str,
    now: datetime,
    *,
    directories: int,
    watches: int | None,
    last_event_at: datetime | None,
) -> None:
    """Note that the folder was listed from end to end, and how many `directories` it has.

    `watches` is how many of them the kernel watches, None where it is polled. `last_event_at` is when the
    kernel last said that anything happened, None if it did not since the start.
    """
    db.execute(
        "UPDATE folders SET last_scan_at = ?, directories = ?, watches = ?,"
        " last_event_at = coalesce(?, last_event_at) WHERE path = ?",
        (iso(now), directories, watches, last_event_at and iso(last_event_at), path),
    )


def watch_rows(db: Database) -> dict[str, dict[str, Any]]:
    """Return how each folder is watched, as of its last listing, by path."""
    found = rows(
        db,
        "SELECT path, method, directories, watches, last_event_at, last_scan_at FROM folders ORDER BY path",
    )
    return {row["path"]: row for row in found}


def baseline_finished(db: Database, path: str) -> None:
    """Note that all files that were there before are known: what is found from here on is new."""
    db.execute("UPDATE folders SET baseline_done = 1 WHERE path = ?", (path,))
