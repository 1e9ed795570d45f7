"""Putting recordings back into the queue because a person asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from daemon.models import RecordingState, iso
from daemon.storage.database import rows, transaction
from daemon.storage.pauses import probe_now

RETRIABLE = (RecordingState.FAILED, RecordingState.SKIPPED)

# The counters that lead to giving up start anew; `attempts` and `possibly_billed` are history and stay.
_REQUEUE = """
    UPDATE recordings SET
        state = 'waiting', not_before = ?, error_code = NULL, error = NULL,
        crashes = 0, doubtful = 0, failures = 0, failing_since = NULL
"""
_ANEW = ", anew = 1, duplicate_of = NULL"


def requeue(db: Database, ids: Sequence[int], now: datetime, *, anew: bool = False) -> dict[int, str]:
    """Put these failed or skipped recordings back into the queue, and let a paused queue try at once.

    One that waits in it for its next try is due now.
    With `anew` duplicates as well, and what was analyzed of the same bytes or address before does not
    count for any of them. Returns the ids that were refused with the reason; the others are done all the
    same.
    """
    refused: dict[int, str] = {}
    update = _REQUEUE + (_ANEW if anew else "") + " WHERE id = ? AND state IN ('failed', 'skipped', ?)"
    with transaction(db):
        for recording_id in dict.fromkeys(ids):
            changed = db.execute(update, (iso(now), recording_id, "duplicate" if anew else "failed"))
            if not changed.rowcount and not _made_due(db, recording_id, now):
                refused[recording_id] = _reason(db, recording_id)
    probe_now(db, now)
    return refused


def _made_due(db: Database, recording_id: int, now: datetime) -> bool:
    """Whether the recording is in the queue already; then its turn is now."""
    changed = db.execute(
        "UPDATE recordings SET not_before = ? WHERE id = ? AND state = 'waiting'", (iso(now), recording_id)
    )
    return bool(changed.rowcount)


def requeue_failed(db: Database, now: datetime) -> int:
    """Put every failed recording back into the queue, as `requeue` does; returns how many."""
    with transaction(db):
        count = db.execute(_REQUEUE + " WHERE state = 'failed'", (iso(now),)).rowcount
    probe_now(db, now)
    return count


def requeue_existing(db: Database, ids: Iterable[int], now: datetime) -> int:
    """Put these recordings, left alone until now, into the queue, as `requeue` does; returns how many."""
    count = 0
    with transaction(db):
        for recording_id in ids:
            count += db.execute(
                _REQUEUE + " WHERE id = ? AND state = 'skipped' AND error_code = 'existing'",
                (iso(now), recording_id),
            ).rowcount
    probe_now(db, now)
    return count


def left_alone(db: Database, folders: Iterable[str]) -> Iterator[dict[str, Any]]:
    """What `existing: skip` left alone in these folders: id, folder, source, is_url, size_bytes; by id."""
    names, after = json.dumps(list(folders)), 0
    while batch := rows(
        db,
        """
        SELECT id, folder, source, is_url, size_bytes FROM recordings
        WHERE id > ? AND state = 'skipped' AND error_code = 'existing'
            AND folder IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT 1000
        """,
        (after, names),
    ):
        yield from batch
        after = batch[-1]["id"]


def _reason(db: Database, recording_id: int) -> str:
    found = rows(db, "SELECT state, duplicate_of FROM recordings WHERE id = ?", (recording_id,))
    if not found:
        return f"there is no recording {recording_id}; `earshot list` shows them"
    if found[0]["state"] == RecordingState.DUPLICATE:
        return (
            f"recording {recording_id} is a duplicate of {found[0]['duplicate_of']};"
            f" `earshot retry --anew {recording_id}` has it analyzed, and paid for, all the same"
        )
    return f"recording {recording_id} is {found[0]['state']}; only failed and skipped ones can be tried again"
