"""Transcripts that are analyzed again as texts: which there are, and how far each has come.

The replies to the parts of a transcript are stored as they come (`responses`), so that after a crash only the
missing ones are asked for. Functions that write run in the caller's transaction. Where the recording or its
words are gone by then, nothing that was said is stored: what was erased must not come back.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from daemon.models import Cost
from daemon.storage.connection import Database
from daemon.storage.costs import add_cost
from daemon.storage.database import rows, value
from daemon.storage.requests import count_billed, count_discarded, end_request
from daemon.storage.results import BATCH_ROWS, store_response


@dataclass(frozen=True, slots=True)
class Spoken:
    """What was said in a recording that is done, and how its result was asked for.

    `request_key` is that of its last /v1/listen; `reading_key` that of the /v1/read from which its passages
    are, None where they are from /v1/listen.
    """

    id: int
    folder: str | None
    transcript: str
    language: str | None
    channels: int | None
    request_key: str | None
    reading_key: str | None


_SPOKEN = """
SELECT recordings.id, folder, coalesce(transcript, '') AS transcript, language, channels, request_key,
    (SELECT key FROM readings WHERE recording_id = recordings.id AND done) AS reading_key
FROM recordings WHERE state = 'done' AND id IN (SELECT value FROM json_each(?)) ORDER BY id
"""


def spoken(db: Database, ids: Sequence[int]) -> Iterator[Spoken]:
    """Yield what was said in those of these recordings that are done; reads in batches."""
    for start in range(0, len(ids), BATCH_ROWS):
        batch = list(ids[start : start + BATCH_ROWS])
        yield from (Spoken(**row) for row in rows(db, _SPOKEN, (json.dumps(batch),)))


def begin_again(db: Database, recording_id: int, key: str, part_words: int) -> int:
    """Note that a transcript is to be analyzed by the request `key`; returns how many words at a time.

    Where that was begun before, it goes on from there. Replies to another request are deleted.
    """
    found = rows(db, "SELECT key, part_words, done FROM readings WHERE recording_id = ?", (recording_id,))
    if found and found[0]["key"] == key and not found[0]["done"]:
        known: int = found[0]["part_words"]
        return known
    cut_again(db, recording_id, key, part_words)
    return part_words


def cut_again(db: Database, recording_id: int, key: str, part_words: int) -> None:
    """Begin with no replies, so many words at a time."""
    db.execute("DELETE FROM responses WHERE recording_id = ? AND kind = 'read'", (recording_id,))
    db.execute(
        "INSERT OR REPLACE INTO readings (recording_id, key, part_words) VALUES (?, ?, ?)",
        (recording_id, key, part_words),
    )


def note_answer(
    db: Database,
    recording_id: int,
    request: int,
    body: bytes,
    cost: Cost,
    now: datetime,
    *,
    folder: str | None,
    request_id: str | None,
) -> bool:
    """Store what a part cost, and the `compressed` reply; False when nothing is left that it belongs to."""
    add_cost(db, recording_id, cost, now, folder=folder)
    if not _is_noted(db, request):
        return False
    end_request(db, request, outcome="received", status=200, request_id=request_id, now=now)
    db.execute("UPDATE requests SET costed = 1 WHERE id = ?", (request,))
    if not has_words(db, recording_id):
        return False
    store_response(db, recording_id, body, kind="read", now=now)
    db.execute(
        "UPDATE recordings SET estimated_cost_usd = coalesce(estimated_cost_usd, 0.0) + ?"
        " WHERE id = ? AND ? IS NOT NULL",
        (cost.usd, recording_id, cost.usd),
    )
    count_billed(db, recording_id)
    return True


def note_no_answer(
    db: Database, recording_id: int, request: int, outcome: str, now: datetime, *, possibly_billed: bool
) -> None:
    """Note how a request without a usable reply ended, and its cost if it may have been billed."""
    if not _is_noted(db, request):
        return
    end_request(db, request, outcome=outcome, now=now)
    if possibly_billed:
        count_discarded(db, recording_id, request, now)


def finish_again(db: Database, recording_id: int) -> None:
    """Note that the result is made of the replies that are stored."""
    db.execute("UPDATE readings SET done = 1 WHERE recording_id = ?", (recording_id,))


def _is_noted(db: Database, request: int) -> bool:
    """Return whether the request is still noted; it goes with a recording that is deleted."""
    return value(db, "SELECT 1 FROM requests WHERE id = ?", (request,)) is not None


def has_words(db: Database, recording_id: int) -> bool:
    """Return whether the recording is done, and its transcript is still there."""
    sql = "SELECT 1 FROM recordings WHERE id = ? AND state = 'done' AND transcript IS NOT NULL"
    return value(db, sql, (recording_id,)) is not None
