"""Every change of a recording's state, and what follows from its end. Nothing else writes that state.

An end may add a row to `failures` (to be told to operations), one to `originals` (a file to move or delete),
and rows to `webhooks`. Each function writes in a transaction that its caller opens and commits, so that what
belongs together is stored together. Times are UTC.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from daemon.models import (
    Ending,
    NewRecording,
    Recording,
    RecordingState,
    iso,
)
from daemon.storage.blocks import insert_rows
from daemon.storage.connection import Database
from daemon.storage.costs import add_lost_cost, add_unused_costs
from daemon.storage.counters import count_request
from daemon.storage.database import rows, tuples, value
from daemon.storage.due import ANY, Wanted, due
from daemon.storage.new_recording import COLUMNS, VALUES, as_added
from daemon.storage.pauses import EVERYTHING, count_probe, pauses
from daemon.storage.sidecars import note_sidecars
from daemon.storage.webhooks import note_event

MAX_WAIT = timedelta(minutes=20)
"""No retry is ever due later than this; a row that says so was written before the clock was set back."""

CRASHES_ALLOWED = 3
DOUBTFUL_RESENDS = 2

_FIELDS = tuple(field.name for field in fields(Recording))
_COLUMNS = ", ".join(_FIELDS)
_ADD = f"INSERT INTO recordings ({', '.join(COLUMNS)}) VALUES ({VALUES})"  # noqa: S608 - our own column names
_AS_FIELD: dict[str, Callable[[Any], Any]] = dict.fromkeys(_FIELDS, lambda stored: stored) | {
    "source": os.fsdecode,
    "is_url": bool,
    "quiet": bool,
    "anew": bool,
    "tags": lambda stored: tuple(json.loads(stored)),
    "metadata": json.loads,
}

# Into the queue, and out of it to be analyzed


def add(db: Database, new: NewRecording, now: datetime, *, ending: Ending | None = None) -> int:
    """Add a recording that is due at once, or one that has ended already; returns its id."""
    return add_all(db, [(new, ending)], now)[0]


def add_all(
    db: Database, found: Sequence[tuple[NewRecording, Ending | None]], now: datetime
) -> Sequence[int]:
    """Add recordings as `add` does, many by a statement; returns their ids, in the same order."""
    # No id is given twice, also of those that were deleted; as SQLite itself goes on.
    first = 1 + max(
        value(db, "SELECT seq FROM sqlite_sequence WHERE name = 'recordings'") or 0,
        value(db, "SELECT max(id) FROM recordings") or 0,
    )
    ids = range(first, first + len(found))
    at = iso(now)
    insert_rows(db, _ADD, [as_added(*each, at) for each in zip(ids, found, strict=True)])
    for number, (_, ending) in zip(ids, found, strict=True):
        if ending and ending.state == RecordingState.FAILED:
            _note_failure(db, number, now)
    return ids


def claim(db: Database, now: datetime, wanted: Wanted = ANY) -> Recording | None:
    """Take the next wanted recording out of the queue (see `claim_due`); None when none is due."""
    return next(iter(claim_due(db, now, wanted)), None)


def claim_due(db: Database, now: datetime, wanted: Wanted = ANY, *, most: int = 1) -> list[Recording]:
    """Take the next wanted recordings out of the queue (see `due`), `most` at most.

    Commit before anything is sent: after a crash the row says that it was in work. Of the recordings that a
    pause holds, one is claimed whenever the pause allows a probe: ask for one then.
    """
    present = pauses(db)
    claimed = _claim_these(db, due(db, now, wanted, most=most, present=present), now)
    if present and claimed:
        count_probe(db, {EVERYTHING, *(wanted.scope_of(each.folder) for each in claimed)}, now)
    return claimed


def claim_this(db: Database, recording_id: int, now: datetime) -> Recording | None:
    """Take this recording out of the queue, pauses or not; None unless it waits and is due."""
    return next(iter(_claim_these(db, [recording_id], now)), None)


def _claim_these(db: Database, ids: Sequence[int], now: datetime) -> list[Recording]:
    """Take those of these recordings out of the queue that wait and are due; returns them in this order."""
    if not ids:
        return []
    taken = tuples(
        db,
        "UPDATE recordings SET state = 'analyzing', not_before = NULL"  # noqa: S608 - our own column names
        # By their ids: without the +, SQLite reads all that wait.
        " WHERE id IN (SELECT value FROM json_each(?)) AND +state = 'waiting' AND +not_before <= ?"
        f" RETURNING {_COLUMNS}",
        (json.dumps(ids), iso(now)),
    )
    claimed = {row[0]: _recording(row) for row in taken}
    return [claimed[each] for each in ids if each in claimed]


def recording_of(db: Database, recording_id: int) -> Recording | None:
    """Return the recording as a claim would, and leave it where it is; None without one."""
    return next(iter(recordings_of(db, [recording_id])), None)


def recordings_of(db: Database, ids: Sequence[int]) -> list[Recording]:
    """Return recordings as a claim would, in this order, and leave them where they are."""
    sql = f"SELECT {_COLUMNS} FROM recordings WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 - ours
    found = {row[0]: _recording(row) for row in tuples(db, sql, (json.dumps([*ids]),))}
    return [found[each] for each in ids if each in found]


def is_there(db: Database, recording_id: int) -> bool:
    """Return whether the recording still exists."""
    return bool(rows(db, "SELECT 1 FROM recordings WHERE id = ?", (recording_id,)))


# Back into the queue


def last_error(db: Database, recording_id: int) -> str | None:
    """Return what a recording waited for last, or why it failed."""
    found = db.execute("SELECT error FROM recordings WHERE id = ?", [recording_id]).fetchone()
    return found[0] if found else None


def return_to_queue(
    db: Database,
    recording: Recording,
    now: datetime,
    *,
    error: str | None,
    seconds: float,
    failing: bool = False,
) -> None:
    """Let a claimed recording wait for so many seconds.

    `failing` says that the recording itself may be the cause: the time since the first such failure
    counts towards giving up.
    """
    failing_since = (recording.failing_since or iso(now)) if failing else recording.failing_since
    db.execute(
        "UPDATE recordings SET state = 'waiting', not_before = ?, error = ?, failing_since = ?,"
        " failures = failures + ? WHERE id = ? AND state = 'analyzing'",
        (iso(now + timedelta(seconds=seconds)), error, failing_since, int(failing), recording.id),
    )


def renew(
    db: Database,
    recording_id: int,
    size_bytes: int,
    modified_at: str,
    now: datetime,
    *,
    ending: Ending | None,
) -> None:
    """Start a recording anew from its present file: due at once, or ended again.

    Only for one that was not analyzed, because nothing of its past is kept.
    """
    fresh = {
        "size_bytes": size_bytes,
        "modified_at": modified_at,
        "sha256": None,
        "error": None,
        "failures": 0,
        "failing_since": None,
    }
    if ending:
        fresh |= {"error_code": ending.code, "error": ending.error}
        _end(db, recording_id, ending.state, now, **fresh)
    else:
        let_wait(db, "id = :id", {"id": recording_id}, now, **fresh)


def clamp_waits(db: Database, now: datetime) -> int:
    """Make due what waits too long because the clock was set back; returns how many rows."""
    changed = db.execute(
        "UPDATE recordings SET not_before = ? WHERE state = 'waiting' AND not_before > ?",
        (iso(now), iso(now + MAX_WAIT)),
    )
    return changed.rowcount


def recover(db: Database, now: datetime, *, crashed: bool = True) -> int:
    """Return to the queue what an earlier process had claimed, and return how many recordings.

    A request that had begun counts as possibly billed. A recording that was in flight in CRASHES_ALLOWED
    crashes, alone in the last of them (see due.SUSPECT_CRASHES), fails. One whose reply is stored is
    finished from it when claimed again, without another request. `crashed` False is for a process that ends
    in order and returns what it does not wait for: no crash is counted.
    """
    db.execute(
        "UPDATE recordings SET possibly_billed = possibly_billed + 1, doubtful = doubtful + 1"
        " WHERE state = 'analyzing' AND id IN (SELECT recording_id FROM requests WHERE outcome = 'sending')"
    )
    for request in rows(db, "SELECT id, started_at FROM requests WHERE outcome = 'sending'"):
        add_lost_cost(db, request["id"], now)
        count_request(db, request["started_at"], "unknown", now)
    db.execute("UPDATE recordings SET crashes = crashes + ? WHERE state = 'analyzing'", (int(crashed),))
    db.execute("UPDATE requests SET outcome = 'unknown', ended_at = ? WHERE outcome = 'sending'", (iso(now),))
    for row in rows(db, "SELECT id, crashes, doubtful FROM recordings WHERE state = 'analyzing'"):
        if ending := _ending_by_crashes(row):
            end(db, row["id"], ending, now)
    return let_wait(db, "state = 'analyzing'", {}, now)


def _ending_by_crashes(row: dict[str, Any]) -> Ending | None:
    if row["crashes"] >= CRASHES_ALLOWED:
        text = (
            f"earshot ended unexpectedly {row['crashes']} times while this recording was in work;"
            f" look at the file, then `earshot retry {row['id']}`"
        )
        return Ending(RecordingState.FAILED, "crashed", text)
    if row["doubtful"] > DOUBTFUL_RESENDS:
        text = (
            f"no reply arrived to {row['doubtful']} requests, each possibly billed;"
            f" `earshot retry {row['id']}` sends it again"
        )
        return Ending(RecordingState.FAILED, "ambiguous_reply", text)
    return None


# Ends


@dataclass(frozen=True, slots=True)
class Before:
    """What a recording was before it ended; with `again` it had a result and was analyzed again."""

    state: str
    again: str | None
    folder: str | None
    was_analyzed: bool
    has_plans: bool
    """Whether its folder wants something done to originals, or sidecars."""


def finish(db: Database, recording_id: int, now: datetime, **result: Any) -> Before | None:
    """End a recording as `done`, with these columns of its result (see results.store_result).

    Returns what it was before, None when it is gone.
    """
    cleared = {"error": None, "error_code": None, "failing_since": None, "failures": 0, "again": None}
    return _end(db, recording_id, RecordingState.DONE, now, analyzed_at=iso(now), **cleared, **result)


def duplicate(
    db: Database, recording_id: int, original_id: int, now: datetime, *, sha256: str | None, request_key: str
) -> None:
    """End a recording as a copy of one that was analyzed with the same request."""
    of = {"duplicate_of": original_id, "sha256": sha256, "request_key": request_key}
    _end(db, recording_id, RecordingState.DUPLICATE, now, error=None, error_code=None, **of)


def end(
    db: Database, recording_id: int, ending: Ending, now: datetime, *, request_id: str | None = None
) -> None:
    """End a recording as `failed` or `skipped`; `request_id` is from the reply that says why.

    One that had a result and was analyzed again is `done` as before: only its error says what happened.
    """
    why = {"error_code": ending.code, "error": ending.error}
    if again := value(db, "SELECT again FROM recordings WHERE id = ?", (recording_id,)):
        _restore(db, recording_id, again, why, now)
        return
    known = {"request_id": request_id} if request_id else {}
    _end(db, recording_id, ending.state, now, **why, **known)


# The statements behind them


def let_wait(db: Database, condition: str, values: dict[str, Any], now: datetime, **changes: Any) -> int:
    """Let the recordings that meet `condition` wait, due now, with these changes; returns how many."""
    changes |= {"not_before": iso(now), "error_code": None, "queued_at": iso(now)}
    waiting = rows(
        db,
        f"UPDATE recordings SET state = 'waiting', {_assignments(changes)}"  # noqa: S608 - our own texts
        f" WHERE {condition} RETURNING id",
        changes | values,
    )
    # The end is undone, so drop what was planned for the original.
    ids = json.dumps([row["id"] for row in waiting])
    db.execute("DELETE FROM originals WHERE recording_id IN (SELECT value FROM json_each(?))", (ids,))
    return len(waiting)


def _end(
    db: Database, recording_id: int, state: RecordingState, now: datetime, **changes: Any
) -> Before | None:
    """End a recording in this state; note what to tell of it and what to do with its file."""
    found = tuples(
        db,
        "SELECT state, again, folder, analyzed_at IS NOT NULL, coalesce("
        " (SELECT after_success OR after_failure OR sidecars != '[]' FROM folders WHERE path = folder), 0)"
        " FROM recordings WHERE id = ?",
        (recording_id,),
    )
    if not found:
        return None
    before = Before(*found[0])
    _update(db, recording_id, **changes, state=state, not_before=None)
    if state == RecordingState.FAILED and before.state != state:
        _note_failure(db, recording_id, now)
        add_unused_costs(db, recording_id, now)
    if before.state != RecordingState.ANALYZING:
        # Into work it came from the queue, and into the queue without a plan for its original (`let_wait`).
        db.execute("DELETE FROM originals WHERE recording_id = ?", (recording_id,))
    if before.has_plans:
        _note_original(db, recording_id, before.again)
        if state == RecordingState.DONE:
            note_sidecars(db, recording_id)
    return before


def _restore(db: Database, recording_id: int, again: str, why: dict[str, str], now: datetime) -> None:
    """Make a recording `done` again with the result that it had; operations hear why it has no other."""
    _update(db, recording_id, **why, state=RecordingState.DONE, not_before=None, again=None)
    db.execute("INSERT INTO failures (recording_id, failed_at) VALUES (?, ?)", (recording_id, iso(now)))
    add_unused_costs(db, recording_id, now)
    _note_original(db, recording_id, again)


def _note_failure(db: Database, recording_id: int, now: datetime) -> None:
    db.execute("INSERT INTO failures (recording_id, failed_at) VALUES (?, ?)", (recording_id, iso(now)))
    note_event(db, recording_id, "failed", now)


def _note_original(db: Database, recording_id: int, again: str | None) -> None:
    """Note that the file of an ended recording is to be moved or deleted, if its folder says so.

    Not with an incomplete file: it may still be being written. Nor with a file of addresses: a person is to
    correct it, and the addresses that were taken are no failure. Nor, when it was analyzed `again`, with one
    that was moved the first time: it is no longer where it was taken in.
    """
    db.conn.execute(
        """
        INSERT INTO originals (recording_id, folder, outcome)
        SELECT recordings.id, folder, iif(state = 'failed', 'failure', 'success')
        FROM recordings JOIN folders ON folders.path = recordings.folder
        WHERE recordings.id = :id AND NOT is_url
            AND (:known IS NULL OR EXISTS (SELECT 1 FROM files WHERE recording_id = recordings.id)) AND (
            (after_success AND state IN ('done', 'duplicate'))
            OR (after_failure AND state = 'failed' AND error_code IS NOT 'incomplete'
                AND error_code IS NOT 'bad_address')
        )
        """,
        {"id": recording_id, "known": again},
    )


def _update(db: Database, recording_id: int, **changes: Any) -> None:
    # By position: for each name of a parameter sqlite3 lets the other threads have the interpreter.
    columns = ", ".join(f"{column} = ?" for column in changes)
    sql = f"UPDATE recordings SET {columns} WHERE id = ?"  # noqa: S608 - our own column names
    db.conn.execute(sql, (*changes.values(), recording_id))


def _assignments(changes: dict[str, Any]) -> str:
    return ", ".join(f"{column} = :{column}" for column in changes)


def _recording(row: tuple[Any, ...]) -> Recording:
    return Recording(*(_AS_FIELD[name](stored) for name, stored in zip(_FIELDS, row, strict=True)))
