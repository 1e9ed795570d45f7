"""Troubles that operations hear of: each a row from its beginning to its end. And the facts that show some.

A trouble is stored in the transaction that finds it, so that neither a crash nor a restart loses it or tells
it twice. The periodic step tells it (see periodic/operations.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from daemon.models import iso
from daemon.storage.database import rows, value

Key = tuple[str, str]
"""A cause, and what it is about: a folder, a target, the scope of a pause."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong since `since`, or was until `over_at`. Times as stored.

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
        """What tells it from the other troubles that last."""
        return self.cause, self.subject


def troubles(db: Database) -> list[Trouble]:
    """Every trouble that lasts, or whose end was not dealt with yet, the oldest first."""
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


def times_told(db: Database, key: Key, since: datetime) -> int:
    """How often operations were told since then that this trouble began."""
    sql = "SELECT count(*) FROM troubles WHERE cause = ? AND subject = ? AND told_at >= ?"
    return int(value(db, sql, (*key, iso(since))))


def forget_troubles(db: Database, before: datetime) -> None:
    """Delete what was closed before then."""
    db.execute("DELETE FROM troubles WHERE closed_at < ?", (iso(before),))


def begin_anew(db: Database, now: datetime) -> None:
    """After a start, what was not told yet lasts from now on: nobody looked in between.

    A pause is a row itself and needs nobody to look: it began when it began.
    """
    db.execute(
        "UPDATE troubles SET since = ? WHERE told_at IS NULL AND over_at IS NULL"
        " AND (cause, subject) NOT IN (SELECT cause, scope FROM pauses)",
        (iso(now),),
    )


def untold_failures(db: Database) -> list[dict[str, Any]]:
    """The recordings that failed and of which nobody was told, in the order in which they failed.

    One that a person has put back by now is no news.
    """
    return rows(
        db,
        """
        SELECT max(failures.id) AS id, min(failed_at) AS failed_at, recording_id, name, error_code, error
        FROM failures JOIN recordings ON recordings.id = recording_id
        WHERE told_at IS NULL AND state = 'failed' GROUP BY recording_id ORDER BY min(failures.id)
        """,
    )


def failures_told(db: Database, last_id: int, now: datetime) -> None:
    """Note that the failures up to this one were told."""
    db.execute("UPDATE failures SET told_at = ? WHERE told_at IS NULL AND id <= ?", (iso(now), last_id))


def failures_told_at(db: Database) -> str | None:
    """When the last message about failures was stored, or None."""
    told: str | None = value(db, "SELECT max(told_at) FROM failures")
    return told


def folder_arrivals(db: Database) -> dict[str, tuple[bool, str | None]]:
    """For each folder whether it is there, and when a recording was last seen for the first time in it.

    A folder without any counts from when it was first there itself.
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
    """How many alerts wait for this target (`count`), the oldest since `oldest`, and the last `error`."""
    (found,) = rows(
        db,
        """
        SELECT count(*) AS count, min(coalesce(due_at, created_at)) AS oldest, max(error) AS error
        FROM alerts WHERE state = 'pending' AND destination = ? AND target = ?
        """,
        (destination, target),
    )
    return found


def waiting_targets(db: Database) -> list[dict[str, Any]]:
    """For each target with pending alerts, configured or not: how many (`count`), the `oldest` since when."""
    return rows(
        db,
        """
        SELECT destination, target, count(*) AS count, min(coalesce(due_at, created_at)) AS oldest
        FROM alerts WHERE state = 'pending' GROUP BY destination, target
        """,
    )


def delivered_since(db: Database, destination: str, target: int, since: str) -> bool:
    """True when an alert reached this target since then."""
    sql = "SELECT 1 FROM alerts WHERE destination = ? AND target = ? AND sent_at >= ? LIMIT 1"
    return value(db, sql, (destination, target, since)) is not None
