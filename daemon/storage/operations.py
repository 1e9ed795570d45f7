"""Troubles that operations are told of, each a row from beginning to end, and the facts behind some.

A trouble is stored in the transaction that finds it, so no crash or restart loses it or reports it twice.
The periodic step sends the message (see periodic/operations.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.models import iso
from daemon.storage.connection import Database
from daemon.storage.database import rows, tuples, value

CLOCK = "clock"
"""The cause of a trouble: the clock may be wrong, so retention waits."""

Key = tuple[str, str]
"""A cause, and what it is about: a folder, a target, the scope of a pause."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something wrong since `since`, and until `over_at` if over. Times as stored (UTC).

    `told_at` is None until operations were told of it. `detail` is for the message.
    """

    id: int
    cause: str
    subject: str
    since: str
    detail: str
    told_at: str | None
    over_at: str | None

    @property
    def key(self) -> Key:
        """Return what identifies it among lasting troubles."""
        return self.cause, self.subject


PAGES = "pages"
"""The cause of the trouble that the web pages cannot be served."""


def troubles(db: Database) -> list[Trouble]:
    """Return all troubles that last or whose end was not dealt with yet, oldest first."""
    found = rows(
        db,
        "SELECT id, cause, subject, since, detail, told_at, over_at FROM troubles"
        " WHERE closed_at IS NULL ORDER BY id",
    )
    return [Trouble(**row) for row in found]


def begin_trouble(db: Database, cause: str, subject: str, detail: str, now: datetime) -> None:
    """Note that a trouble begins; one that lasts already gets the new `detail`."""
    db.execute(
        "INSERT INTO troubles (cause, subject, since, detail) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (cause, subject) WHERE over_at IS NULL DO UPDATE SET detail = excluded.detail",
        (cause, subject, iso(now), detail),
    )


def end_trouble(db: Database, cause: str, subject: str, now: datetime) -> None:
    """Note that a trouble is over, if it lasts."""
    db.execute(
        "UPDATE troubles SET over_at = ? WHERE cause = ? AND subject = ? AND over_at IS NULL",
        (iso(now), cause, subject),
    )


def trouble_told(db: Database, trouble: Trouble, now: datetime) -> None:
    """Note that operations were told that it began."""
    db.execute("UPDATE troubles SET told_at = ? WHERE id = ?", (iso(now), trouble.id))


def close_trouble(db: Database, trouble: Trouble, now: datetime) -> None:
    """Note that there is nothing more to say of a trouble that is over."""
    db.execute("UPDATE troubles SET closed_at = ? WHERE id = ?", (iso(now), trouble.id))


def recordings_named(db: Database, trouble: Trouble) -> tuple[int, ...]:
    """Return the recordings whose files stay where they are for the reason that this trouble quotes."""
    if trouble.cause not in ("originals", "sidecars"):
        return ()
    found = tuples(
        db,
        f"SELECT DISTINCT recording_id FROM {trouble.cause} WHERE folder = ? AND instr(?, error)",  # noqa: S608
        (trouble.subject, trouble.detail),
    )
    return tuple(recording_id for (recording_id,) in found)


def times_told(db: Database, key: Key, since: datetime) -> int:
    """Return how often operations were told since then that this trouble began."""
    sql = "SELECT count(*) FROM troubles WHERE cause = ? AND subject = ? AND told_at >= ?"
    return int(value(db, sql, (*key, iso(since))))


def forget_troubles(db: Database, before: datetime) -> None:
    """Delete what was closed before then."""
    db.execute("DELETE FROM troubles WHERE closed_at < ?", (iso(before),))


def begin_anew(db: Database, now: datetime) -> None:
    """Let untold troubles begin now: after a start, because nobody looked before.

    Pauses keep their beginning: they are rows, and last while nobody looks.
    """
    db.execute(
        "UPDATE troubles SET since = ? WHERE told_at IS NULL AND over_at IS NULL"
        " AND (cause, subject) NOT IN (SELECT cause, scope FROM pauses)",
        (iso(now),),
    )


def untold_failures(db: Database) -> list[dict[str, Any]]:
    """Return the failed recordings that nobody was told of, in the order in which they failed.

    Those that a person has put back by now are left out.
    """
    return rows(
        db,
        """
        SELECT max(failures.id) AS id, min(failed_at) AS failed_at, recording_id, name, error_code, error
        FROM failures JOIN recordings ON recordings.id = recording_id
        WHERE told_at IS NULL AND (state = 'failed' OR (state = 'done' AND error IS NOT NULL))
        GROUP BY recording_id ORDER BY min(failures.id)
        """,
    )


def failures_told(db: Database, last_id: int, now: datetime) -> None:
    """Note that the failures up to this one were told."""
    db.execute("UPDATE failures SET told_at = ? WHERE told_at IS NULL AND id <= ?", (iso(now), last_id))


def failures_told_at(db: Database) -> str | None:
    """Return when the last message about failures was stored, or None."""
    told: str | None = value(db, "SELECT max(told_at) FROM failures")
    return told


def folder_arrivals(db: Database) -> dict[str, tuple[bool, str | None]]:
    """Return for each folder whether it is there, and when its newest recording was first seen.

    Without recordings, the time is when the folder itself was first there.
    """
    found = rows(
        db,
        """
        SELECT path, available, coalesce(
            (SELECT max(recordings.first_seen_at) FROM recordings WHERE recordings.folder = folders.path),
            folders.first_seen_at
        ) AS last FROM folders
        """,
    )
    return {row["path"]: (bool(row["available"]), row["last"]) for row in found}


def waiting_alerts(db: Database, destination: str, target: int) -> dict[str, Any]:
    """Return how many alerts wait for this target (`count`), since when (`oldest`), and an `error`."""
    (found,) = rows(
        db,
        """
        SELECT count(*) AS count, min(coalesce(due_at, created_at)) AS oldest, max(error) AS error
        FROM alerts WHERE state = 'pending' AND destination = ? AND target = ?
        """,
        (destination, target),
    )
    return found


def waiting_count(db: Database) -> int:
    """Return how many recordings wait in the queue."""
    count: int = db.execute("SELECT count(*) FROM recordings WHERE state = 'waiting'").fetchone()[0]
    return count


def waiting_targets(db: Database) -> list[dict[str, Any]]:
    """Return for each target with pending alerts, configured or not, their `count` and `oldest` time."""
    return rows(
        db,
        """
        SELECT destination, target, count(*) AS count, min(coalesce(due_at, created_at)) AS oldest
        FROM alerts WHERE state = 'pending' GROUP BY destination, target
        """,
    )


def delivered_since(db: Database, destination: str, target: int, since: str) -> bool:
    """Return whether an alert reached this target since then."""
    sql = "SELECT 1 FROM alerts WHERE destination = ? AND target = ? AND sent_at >= ? LIMIT 1"
    return value(db, sql, (destination, target, since)) is not None
