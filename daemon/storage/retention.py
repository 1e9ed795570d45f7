"""Remove what was kept long enough: at most purge.BATCH recordings in a transaction.

All functions run in the caller's transaction. They return from how many recordings something was removed, or
how many alerts were; 0 when nothing more is due. Recordings stay that are protected, have not ended, or have
work left to do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.models import iso
from daemon.storage.connection import Database
from daemon.storage.database import rows
from daemon.storage.purge import BATCH, ERASABLE, erase, note_erasure
from daemon.storage.sidecars import discard_sidecars

ERASED = "(erased: kept for long enough)"

_AGE = """(recordings.analyzed_at < :before
    OR (recordings.analyzed_at IS NULL AND recordings.first_seen_at < :before))"""
_ENDED = f"""
    {ERASABLE}
    AND NOT EXISTS (SELECT 1 FROM originals WHERE recording_id = recordings.id)
    AND NOT EXISTS (SELECT 1 FROM alerts WHERE recording_id = recordings.id AND state = 'pending')
    AND NOT EXISTS (
        SELECT 1 FROM webhooks WHERE recording_id = recordings.id AND state = 'pending'
            -- Nobody sends those for a webhook that is no more.
            AND destination IN (SELECT name FROM webhook_targets)
    )
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Scope:
    """The recordings of one folder; with `folder` None, all that are in none of `others`.

    A removal takes at most `limit` of them.
    """

    folder: str | None
    others: Collection[str] = ()
    limit: int = BATCH

    def sql(self) -> str:
        """Return it as a condition on `recordings`."""
        if self.folder is not None:
            return "recordings.folder = :folder"
        listed = "SELECT value FROM json_each(:others)"
        return f"(recordings.folder IS NULL OR recordings.folder NOT IN ({listed}))"

    def values(self, before: datetime) -> dict[str, Any]:
        """Return the values of its parameters, and of those that all statements here share."""
        others = json.dumps(list(self.others))
        return {"folder": self.folder, "others": others, "before": iso(before), "limit": self.limit}


Removal = Callable[[Database, Scope, datetime, datetime], int]
"""Removes a batch of what is older than the first datetime; the second is now."""


def remove_recordings(db: Database, scope: Scope, before: datetime, now: datetime) -> int:
    """Delete whole recordings, but not those that `existing: skip` left alone: they are only names."""
    ids = _ids(
        db,
        f"SELECT id FROM recordings WHERE {_AGE} AND {scope.sql()} AND {_ENDED}"  # noqa: S608
        " AND recordings.error_code IS NOT 'existing' LIMIT :limit",
        scope,
        before,
    )
    return erase(db, ids, "retention", "recordings", now)


def remove_words(db: Database, scope: Scope, before: datetime, now: datetime) -> int:
    """Delete what was said: transcript, summary, passages, replies, bodies of messages. Numbers stay."""
    ids = _ids(
        db,
        "SELECT id FROM recordings WHERE (transcript IS NOT NULL OR summary IS NOT NULL)"  # noqa: S608
        f" AND recordings.analyzed_at < :before AND {scope.sql()} AND {_ENDED} LIMIT :limit",
        scope,
        before,
    )
    if not ids:
        # On most nights, where there are eleven statements for nothing.
        return 0
    among = "IN (SELECT value FROM json_each(?))"
    wanted = (json.dumps(ids),)
    db.execute(f"UPDATE recordings SET transcript = NULL, summary = NULL WHERE id {among}", wanted)  # noqa: S608
    for table in ("sentiments", "topics", "intents"):
        db.execute(f"UPDATE {table} SET text = NULL WHERE recording_id {among}", wanted)  # noqa: S608
    db.execute(f"DELETE FROM responses WHERE recording_id {among}", wanted)  # noqa: S608
    discard_sidecars(db, ids)
    for table in ("alerts", "webhooks"):
        db.execute(f"UPDATE {table} SET body = ? WHERE recording_id {among}", (ERASED, *wanted))  # noqa: S608
    note_erasure(db, len(ids), "retention", "transcripts", now)
    return len(ids)


def remove_responses(db: Database, scope: Scope, before: datetime, now: datetime) -> int:
    """Delete the replies as they were received."""
    ids = _ids(
        db,
        "SELECT DISTINCT recordings.id FROM responses JOIN recordings ON recordings.id = recording_id"  # noqa: S608
        f" WHERE received_at < :before AND {scope.sql()} AND {_ENDED} LIMIT :limit",
        scope,
        before,
    )
    db.execute(
        "DELETE FROM responses WHERE recording_id IN (SELECT value FROM json_each(?))", (json.dumps(ids),)
    )
    note_erasure(db, len(ids), "retention", "responses", now)
    return len(ids)


def remove_alerts(db: Database, scope: Scope, before: datetime, now: datetime) -> int:
    """Delete alerts with their verdicts, and webhook messages, unless they are still to be sent."""
    count = 0
    for table in ("alerts", "webhooks"):
        ids = _ids(
            db,
            f"SELECT {table}.id FROM {table} LEFT JOIN recordings ON recordings.id = recording_id"  # noqa: S608
            f" WHERE {table}.created_at < :before AND {table}.state <> 'pending' AND {scope.sql()}"
            " AND NOT coalesce(recordings.protected, 0) LIMIT :limit",
            scope,
            before,
        )
        db.execute(f"DELETE FROM {table} WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(ids),))  # noqa: S608
        count += len(ids)
    note_erasure(db, count, "retention", "alerts", now)
    return count


def plan_deletions(db: Database, scope: Scope, before: datetime, now: datetime) -> int:
    """Plan to delete the files of analyzed recordings; the loop for the folder's originals does it."""
    ids = _ids(
        db,
        "SELECT id FROM recordings WHERE state IN ('done', 'duplicate') AND NOT is_url"  # noqa: S608
        f" AND original_deleted_at IS NULL AND analyzed_at < :before AND {scope.sql()} AND {_ENDED}"
        " UNION ALL"
        " SELECT id FROM recordings WHERE state IN ('done', 'duplicate') AND NOT is_url"
        " AND original_deleted_at IS NULL AND analyzed_at IS NULL AND first_seen_at < :before"
        f" AND {scope.sql()} AND {_ENDED} LIMIT :limit",
        scope,
        before,
    )
    db.execute(
        "INSERT INTO originals (recording_id, folder, outcome) SELECT id, folder, 'deletion' FROM recordings"
        " WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(ids),),
    )
    return len(ids)


REMOVALS: dict[str, Removal] = {
    "originals": plan_deletions,
    "recordings": remove_recordings,
    "transcripts": remove_words,
    "responses": remove_responses,
    "alerts": remove_alerts,
}
"""What each key of `retention` in the configuration has removed."""


def _ids(db: Database, sql: str, scope: Scope, before: datetime) -> list[int]:
    return [row["id"] for row in rows(db, sql, scope.values(before))]
