"""The ledger of requests, and the decision before each: send the recording, or is it known?

Only files of equal size can be equal, so only those are hashed before one of them is sent. All others are
read once, for hash and upload together. Functions that write run in the caller's transaction.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any, Literal

from daemon.models import Cost, Recording, RecordingState, iso
from daemon.storage.connection import Database
from daemon.storage.costs import add_lost_cost
from daemon.storage.counters import count_request
from daemon.storage.database import rows, tuples, value
from daemon.storage.queue import duplicate, return_to_queue

COPY_WAIT_SECONDS = 2.0
"""How long a recording waits for one in flight that it may be a copy of, before it looks again."""

RATED_REQUESTS = 50

Decision = Literal["send", "duplicate", "later", "hash"]


def has_twin(db: Database, recording_id: int, size_bytes: int) -> bool:
    """Return whether another recording has a file of this size, so that one may be a copy."""
    sql = (
        "SELECT 1 FROM recordings WHERE size_bytes = ? AND state IN ('waiting', 'analyzing', 'done')"
        " AND id != ? AND is_url = 0 LIMIT 1"
    )
    return bool(rows(db, sql, (size_bytes, recording_id)))


def begin_request(
    db: Database,
    recording: Recording,
    *,
    sha256: str | None,
    size_bytes: int | None,
    request_key: str,
    now: datetime,
    expected: Cost | None = None,
) -> tuple[Decision, int]:
    """Decide, just before the first byte is sent, what happens to a claimed recording.

    Returns (`send`, request row id) after noting the request; (`duplicate`, id of the original) after ending
    the recording as its copy; (`later`, id) when that one may have the same bytes and is being analyzed: this
    one waits for its outcome; or (`hash`, 0), with nothing done, when another file has the same size: ask
    again with the hash. `sha256` is None when not needed: for a hosted recording (then `size_bytes` is None
    too), and for a file that is alone in its size. `expected` is the probable cost.
    """
    if recording.anew:
        original = None
    elif recording.is_url:
        original = _original_of_url(db, recording, request_key)
    elif sha256 is None and has_twin(db, recording.id, size_bytes or 0):
        return "hash", 0
    else:
        original = _original_of(db, recording.id, sha256, size_bytes, request_key)
    if original and original["state"] == RecordingState.DONE:
        duplicate(db, recording.id, original["id"], now, sha256=sha256, request_key=request_key)
        return "duplicate", original["id"]
    if original:
        # Do not note its hash: two copies could then wait for each other for ever.
        return_to_queue(db, recording, now, error=None, seconds=COPY_WAIT_SECONDS)
        return "later", original["id"]
    db.conn.execute(
        "UPDATE recordings SET sha256 = ?, size_bytes = coalesce(?, size_bytes), request_key = ?,"
        " attempts = attempts + 1 WHERE id = ?",
        (sha256, size_bytes, request_key, recording.id),
    )
    return "send", _begin_entry(db, recording.id, expected, now)


def begin_part(db: Database, recording_id: int, expected: Cost | None, now: datetime) -> int:
    """Note that a part of the transcript is about to be sent; returns the request's row id."""
    db.execute("UPDATE recordings SET attempts = attempts + 1 WHERE id = ?", (recording_id,))
    return _begin_entry(db, recording_id, expected, now)


def begin_reading(db: Database, recording_id: int, expected: Cost, now: datetime) -> int:
    """Note that a transcript, or a part of one, is about to be sent to be analyzed again; returns the row id.

    Its recording is not in the queue, so that the start of a service must not take this for its own.
    """
    return _begin_entry(db, recording_id, expected, now, outcome="reading")


def recover_readings(db: Database, now: datetime) -> None:
    """Count the requests of `begin_reading` as billed that were under way when their process was killed."""
    for request in rows(db, "SELECT id, recording_id FROM requests WHERE outcome = 'reading'"):
        count_discarded(db, request["recording_id"], request["id"], now)
        end_request(db, request["id"], outcome="unknown", now=now)


def uncount_attempt(db: Database, recording_id: int) -> None:
    """Do not count the last attempt: it says nothing about the recording."""
    db.execute("UPDATE recordings SET attempts = max(0, attempts - 1) WHERE id = ?", (recording_id,))


def count_billed(db: Database, recording_id: int, *, sha256: str | None = None) -> None:
    """Count a request that was answered; `sha256` is the hash of what was sent, where it is known."""
    db.conn.execute(
        "UPDATE recordings SET possibly_billed = possibly_billed + 1, sha256 = coalesce(?, sha256)"
        " WHERE id = ?",
        (sha256, recording_id),
    )


def count_discarded(db: Database, recording_id: int, request: int, now: datetime) -> None:
    """Count a request whose answer is of no use."""
    count_billed(db, recording_id)
    add_lost_cost(db, request, now)


def count_doubtful(db: Database, recording_id: int, request: int, now: datetime) -> None:
    """Count a request whose reply was lost as possibly billed."""
    db.execute(
        "UPDATE recordings SET possibly_billed = possibly_billed + 1, doubtful = doubtful + 1 WHERE id = ?",
        (recording_id,),
    )
    add_lost_cost(db, request, now)


def waiting_rate(db: Database) -> float | None:
    """Return the seconds until the reply for a second of sound, of the last requests; None without any."""
    found: float | None = value(
        db,
        "SELECT 86400 * sum(julianday(ended_at) - julianday(started_at)) / sum(duration_seconds)"
        " FROM (SELECT ended_at, started_at, duration_seconds FROM requests"
        " JOIN recordings ON recordings.id = recording_id"
        " WHERE outcome = 'received' AND duration_seconds > 0 ORDER BY requests.id DESC LIMIT :limit)",
        {"limit": RATED_REQUESTS},
    )
    return found


def end_request(
    db: Database,
    request: int,
    *,
    outcome: str,
    now: datetime,
    status: int | None = None,
    request_id: str | None = None,
) -> None:
    """Note in the ledger how a request ended."""
    ((started_at,),) = tuples(
        db,
        "UPDATE requests SET ended_at = ?, outcome = ?, http_status = ?, request_id = ? WHERE id = ?"
        " RETURNING started_at",
        (iso(now), outcome, status, request_id, request),
    )
    count_request(db, started_at, outcome, now)


def last_request_at(db: Database, recording_id: int) -> str | None:
    """Return when the newest request for this recording began, as stored; None when there was none."""
    sql = "SELECT max(started_at) FROM requests WHERE recording_id = ?"
    at: str | None = value(db, sql, (recording_id,))
    return at


def named_by_service(db: Database, recording_id: int) -> str | None:
    """Return the request id that came with the newest reply to this recording; None where none did."""
    sql = "SELECT request_id FROM requests WHERE recording_id = ? AND outcome = 'received'"
    named: str | None = value(db, f"{sql} ORDER BY id DESC LIMIT 1", (recording_id,))
    return named


def known_hash(db: Database, recording_id: int) -> str | None:
    """Return the hash of the bytes that were sent last, None before."""
    sha256: str | None = value(db, "SELECT sha256 FROM recordings WHERE id = ?", (recording_id,))
    return sha256


def analyzed_before(db: Database, source: str | None, sha256: str | None, request_key: str) -> int | None:
    """Return the newest recording that is done with this request: of this address, or of these bytes."""
    found: int | None = value(
        db,
        "SELECT id FROM recordings WHERE state = 'done' AND request_key = ?"
        " AND (sha256 = ? OR (is_url = 1 AND source = ?)) ORDER BY id DESC LIMIT 1",
        (request_key, sha256, None if source is None else os.fsencode(source)),
    )
    return found


def note_hash(db: Database, recording_id: int, sha256: str) -> None:
    """Keep the hash of the bytes that were sent."""
    db.execute("UPDATE recordings SET sha256 = ? WHERE id = ?", (sha256, recording_id))


def _original_of(
    db: Database, recording_id: int, sha256: str | None, size_bytes: int | None, request_key: str
) -> dict[str, Any] | None:
    """Return id and state of the recording with the same bytes and the same request, or None.

    A recording that is done comes first. One in flight of equal size without a hash may be it, too.
    """
    found = rows(
        db,
        """
        SELECT id, state FROM recordings
        WHERE id != ? AND request_key = ? AND (
            (sha256 = ? AND state IN ('done', 'analyzing'))
            OR (size_bytes = ? AND state = 'analyzing' AND sha256 IS NULL AND is_url = 0 AND EXISTS (
                SELECT 1 FROM requests WHERE recording_id = recordings.id AND outcome = 'sending'
            ))
        )
        ORDER BY state = 'done' DESC, id LIMIT 1
        """,
        (recording_id, request_key, sha256, size_bytes),
    )
    return found[0] if found else None


def _original_of_url(db: Database, recording: Recording, request_key: str) -> dict[str, Any] | None:
    """Return the same for a hosted recording, found by its address."""
    found = rows(
        db,
        """
        SELECT id, state FROM recordings
        WHERE is_url = 1 AND source = ? AND request_key = ? AND id != ? AND state IN ('done', 'analyzing')
        ORDER BY state = 'done' DESC, id LIMIT 1
        """,
        (os.fsencode(recording.source), request_key, recording.id),
    )
    return found[0] if found else None


def _begin_entry(
    db: Database, recording_id: int, expected: Cost | None, now: datetime, *, outcome: str = "sending"
) -> int:
    cost = (
        (expected.model, expected.seconds, expected.channels, expected.usd, expected.prices_of)
        if expected
        else (None,) * 5
    )
    added = tuples(
        db,
        "INSERT INTO requests"
        " (recording_id, started_at, outcome, model, seconds, channels, usd, prices_of, costed)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0) RETURNING id",
        (recording_id, iso(now), outcome, *cost),
    )
    entry: int = added[0][0]
    return entry
