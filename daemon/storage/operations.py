"""What operations were told of, so that a restart tells nobody twice; and what there is to tell them.

Functions that write are called inside a transaction of the caller, together with the message.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from daemon.models import iso
from daemon.storage.database import rows, transaction

Key = tuple[str, str]
"""A cause, and the folder or target that it is about."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A trouble that lasts `since` then; `told_at` is None until a message says so."""

    since: str
    told_at: str | None


def notices(db: Database) -> dict[Key, Notice]:
    """Every trouble that is known to last."""
    found = rows(db, "SELECT cause, subject, since, told_at FROM notices")
    return {(row["cause"], row["subject"]): Notice(row["since"], row["told_at"]) for row in found}


def begin_notice(db: Database, key: Key, now: datetime) -> None:
    """Note that a trouble began."""
    db.execute("INSERT INTO notices (cause, subject, since) VALUES (?, ?, ?)", (*key, iso(now)))


def notice_told(db: Database, key: Key, now: datetime) -> None:
    """Note that there is a message about it."""
    db.execute("UPDATE notices SET told_at = ? WHERE cause = ? AND subject = ?", (iso(now), *key))


def end_notice(db: Database, key: Key) -> None:
    """Note that it is over."""
    db.execute("DELETE FROM notices WHERE cause = ? AND subject = ?", key)


def begin_anew(db: Database, now: datetime) -> None:
    """After a start, what was not told yet lasts from now on: nobody looked in between. One transaction."""
    with transaction(db):
        db.execute("UPDATE notices SET since = ? WHERE told_at IS NULL", (iso(now),))


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
    told: str | None = rows(db, "SELECT max(told_at) AS told FROM failures")[0]["told"]
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
    found = rows(
        db,
        "SELECT 1 FROM alerts WHERE destination = ? AND target = ? AND sent_at >= ? LIMIT 1",
        (destination, target, since),
    )
    return bool(found)
