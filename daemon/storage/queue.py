"""Every change of a recording's state, and what follows from its end. Nothing else writes that state.

An end may add a row to `failures` (to be told to operations), one to `originals` (a file to move or delete),
and rows to `webhooks`. Each function writes in a transaction that its caller opens and commits, so that what
belongs together is stored together. Times are UTC.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from sqlite_utils import Database

from daemon.models import (
    Ending,
    NewRecording,
    Recording,
    RecordingState,
    hosted_name,
    iso,
    shown_address,
    shown_path,
)
from daemon.storage.costs import add_lost_cost, add_unused_costs
from daemon.storage.counters import count_request
from daemon.storage.database import rows, value
from daemon.storage.due import ANY, Wanted, due
from daemon.storage.pauses import EVERYTHING, count_probe, probe_now
from daemon.storage.sidecars import note_sidecars
from daemon.storage.webhooks import note_event

MAX_WAIT = timedelta(minutes=20)
"""No retry is ever due later than this; a row that says so was written before the clock was set back."""

CRASHES_ALLOWED = 3
DOUBTFUL_RESENDS = 2

_IS_RECORDING = "error_code IS NOT 'bad_address' AND error_code IS NOT 'corrected'"
"""Other rows stand for dropped files with addresses: there is nothing in them to be analyzed."""

# Into the queue, and out of it to be analyzed


def add(db: Database, new: NewRecording, now: datetime, *, ending: Ending | None = None) -> int:
    """Add a recording that is due at once, or one that has ended already; returns its id."""
    shown = shown_address(new.source) if new.is_url else shown_path(new.source)
    values: dict[str, Any] = {
        "path": shown,
        "source": os.fsencode(new.source),
        "is_url": int(new.is_url),
        "name": hosted_name(new.source) if new.is_url else shown.rpartition("/")[2] or shown,
        "folder": new.folder,
        "size_bytes": new.size_bytes,
        "modified_at": new.modified_at,
        "quiet": int(new.quiet),
        "tags": json.dumps(new.tags, ensure_ascii=False),
        "recorded_at": new.recorded_at,
        "metadata": json.dumps(new.metadata, ensure_ascii=False),
        "first_seen_at": iso(now),
        "state": ending.state if ending else RecordingState.WAITING,
        "not_before": None if ending else iso(now),
        "error_code": ending.code if ending else None,
        "error": ending.error if ending else None,
    }
    columns = ", ".join([*values, "digest"])
    places = ", ".join([*(f":{column}" for column in values), "keyed_digest(:source)"])
    sql = f"INSERT INTO recordings ({columns}) VALUES ({places}) RETURNING id"  # noqa: S608 - the names above
    recording_id = int(value(db, sql, values))
    if ending and ending.state == RecordingState.FAILED:
        _note_failure(db, recording_id, now)
    return recording_id


def claim(db: Database, now: datetime, wanted: Wanted = ANY) -> Recording | None:
    """Take the next wanted recording out of the queue (see `claim_due`); None when none is due."""
    return next(iter(claim_due(db, now, wanted)), None)


def claim_due(db: Database, now: datetime, wanted: Wanted = ANY, *, most: int = 1) -> list[Recording]:
    """Take the next wanted recordings out of the queue (see `due`), `most` at most.

    Commit before anything is sent: after a crash the row says that it was in work. Of the recordings that a
    pause holds, one is claimed whenever the pause allows a probe: ask for one then.
    """
    found = [claim_this(db, each, now) for each in due(db, now, wanted, most=most)]
    claimed = [each for each in found if each is not None]
    count_probe(db, {EVERYTHING, *(wanted.scope_of(each.folder) for each in claimed)} if claimed else (), now)
    return claimed


def claim_this(db: Database, recording_id: int, now: datetime) -> Recording | None:
    """Take this recording out of the queue, pauses or not; None unless it waits and is due."""
    taken = rows(
        db,
        "UPDATE recordings SET state = 'analyzing', not_before = NULL"
        " WHERE id = ? AND state = 'waiting' AND not_before <= ? RETURNING *",
        (recording_id, iso(now)),
    )
    return _recording(taken[0]) if taken else None


def recording_of(db: Database, recording_id: int) -> Recording | None:
    """Return the recording as a claim would, and leave it where it is; None without one."""
    found = rows(db, "SELECT * FROM recordings WHERE id = ?", (recording_id,))
    return _recording(found[0]) if found else None


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
        " failures = failures + ? WHERE id = ?",
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
        _make_wait(db, "id = :id", {"id": recording_id}, now, **fresh)


def requeue(db: Database, ids: Iterable[int], now: datetime, *, anew: bool = False) -> dict[int, str]:
    """Put failed or skipped recordings back because a person asks for it; a paused queue tries one at once.

    One that waits for its next try becomes due now. With `anew` duplicates go back too, and what is done (as
    `requeue_done` does, without alerts); all are analyzed even if the same bytes or address were before.
    Returns the ids that cannot go back, each with the reason; the others go back all the same.
    """
    refused: dict[int, str] = {}
    states = ("failed", "skipped", "duplicate") if anew else ("failed", "skipped")
    for recording_id in dict.fromkeys(ids):
        condition = f"id = :id AND state IN (SELECT value FROM json_each(:states)) AND {_IS_RECORDING}"  # noqa: S608
        values = {"id": recording_id, "states": json.dumps(states)}
        if not (
            _forgive(db, condition, values, now, anew=anew)
            or _make_due(db, recording_id, now)
            or (anew and requeue_done(db, [recording_id], now, muted=True))
        ):
            refused[recording_id] = _why_not(db, recording_id)
    probe_now(db, now)
    return refused


def requeue_failed(db: Database, now: datetime) -> int:
    """Put every failed recording back, as `requeue` does; returns how many."""
    count = _forgive(db, f"state = 'failed' AND {_IS_RECORDING}", {}, now)
    probe_now(db, now)
    return count


def requeue_existing(db: Database, ids: Collection[int], now: datetime) -> int:
    """Put back those of these recordings that were left alone until now; returns how many."""
    condition = "id IN (SELECT value FROM json_each(:ids)) AND state = 'skipped' AND error_code = 'existing'"
    count = _forgive(db, condition, {"ids": json.dumps(list(ids))}, now)
    probe_now(db, now)
    return count


def requeue_done(db: Database, ids: Iterable[int], now: datetime, *, muted: bool) -> int:
    """Put back those of these recordings that are done, to be analyzed anew; returns how many.

    Their results stay until there are others, and what is analyzed so is `done` also if that fails (see
    `end`). With `muted` it causes no alerts.
    """
    count = 0
    for recording_id in ids:
        again = {"again": "quiet" if muted else "alerts"}
        if _forgive(db, "id = :id AND state = 'done'", {"id": recording_id}, now, anew=True, **again):
            use_no_reply(db, recording_id)
            count += 1
    probe_now(db, now)
    return count


def use_no_reply(db: Database, recording_id: int) -> None:
    """Note that no reply that is stored for this recording is to be used when it is analyzed next."""
    db.execute(
        "UPDATE recordings SET used_reply ="
        " (SELECT max(id) FROM responses WHERE recording_id = :id AND kind = 'listen') WHERE id = :id",
        {"id": recording_id},
    )
    db.execute("DELETE FROM responses WHERE recording_id = ? AND kind = 'read'", (recording_id,))


def reopen_refused(db: Database, ids: Collection[int], now: datetime) -> None:
    """Put back those of these recordings that failed as `refused`, which was not their fault."""
    condition = "state = 'failed' AND error_code = 'refused' AND id IN (SELECT value FROM json_each(:ids))"
    _make_wait(db, condition, {"ids": json.dumps(list(ids))}, now)


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
    for request in rows(db, "SELECT id FROM requests WHERE outcome = 'sending'"):
        add_lost_cost(db, request["id"], now)
        count_request(db, request["id"], "unknown", now)
    db.execute("UPDATE recordings SET crashes = crashes + ? WHERE state = 'analyzing'", (int(crashed),))
    db.execute("UPDATE requests SET outcome = 'unknown', ended_at = ? WHERE outcome = 'sending'", (iso(now),))
    for row in rows(db, "SELECT id, crashes, doubtful FROM recordings WHERE state = 'analyzing'"):
        if ending := _ending_by_crashes(row):
            end(db, row["id"], ending, now)
    return _make_wait(db, "state = 'analyzing'", {}, now)


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


def _forgive(
    db: Database,
    condition: str,
    values: dict[str, Any],
    now: datetime,
    *,
    anew: bool = False,
    **changes: Any,
) -> int:
    """Let recordings wait, and clear what counts towards giving up; `attempts` and `possibly_billed` stay."""
    changes |= {"crashes": 0, "doubtful": 0, "failures": 0, "failing_since": None, "error": None}
    changes |= {"anew": 1, "duplicate_of": None} if anew else {}
    return _make_wait(db, condition, values, now, **changes)


def _make_due(db: Database, recording_id: int, now: datetime) -> bool:
    """Make a waiting recording due; False when it does not wait."""
    changed = db.execute(
        "UPDATE recordings SET not_before = ? WHERE id = ? AND state = 'waiting'", (iso(now), recording_id)
    )
    return bool(changed.rowcount)


def _why_not(db: Database, recording_id: int) -> str:
    found = rows(db, "SELECT state, error_code, duplicate_of FROM recordings WHERE id = ?", (recording_id,))
    if not found:
        return f"there is no recording {recording_id}; `earshot list` shows them"
    anew = f"`earshot retry --anew {recording_id}` has it analyzed, and paid for,"
    if found[0]["state"] == RecordingState.DUPLICATE:
        return f"recording {recording_id} is a duplicate of {found[0]['duplicate_of']}; {anew} all the same"
    if found[0]["state"] == RecordingState.DONE:
        return f"recording {recording_id} is done; {anew} again"
    if found[0]["error_code"] in ("bad_address", "corrected"):
        return f"{recording_id} is a file with addresses; correct it and save it again, it is then read anew"
    return f"recording {recording_id} is {found[0]['state']}; only failed and skipped ones can be tried again"


# Ends


def finish(db: Database, recording_id: int, now: datetime, **result: Any) -> None:
    """End a recording as `done`, with these columns of its result (see results.store_result)."""
    cleared = {"error": None, "error_code": None, "failing_since": None, "failures": 0, "again": None}
    _end(db, recording_id, RecordingState.DONE, now, analyzed_at=iso(now), **cleared, **result)


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


# The two statements behind them


def _make_wait(db: Database, condition: str, values: dict[str, Any], now: datetime, **changes: Any) -> int:
    """Let the recordings that meet `condition` wait, due now; returns how many."""
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


def _end(db: Database, recording_id: int, state: RecordingState, now: datetime, **changes: Any) -> None:
    """End a recording in this state; note what to tell of it and what to do with its file."""
    found = rows(db, "SELECT state, again FROM recordings WHERE id = ?", (recording_id,))
    before = found[0] if found else {"state": None, "again": None}
    changes |= {"state": state, "not_before": None}
    db.execute(
        f"UPDATE recordings SET {_assignments(changes)} WHERE id = :id",  # noqa: S608 - our own column names
        changes | {"id": recording_id},
    )
    if state == RecordingState.FAILED and before["state"] != state:
        _note_failure(db, recording_id, now)
        add_unused_costs(db, recording_id, now)
    _note_original(db, recording_id, before["again"])
    if state == RecordingState.DONE:
        note_sidecars(db, recording_id)


def _restore(db: Database, recording_id: int, again: str, why: dict[str, str], now: datetime) -> None:
    """Make a recording `done` again with the result that it had; operations hear why it has no other."""
    changes = {**why, "state": RecordingState.DONE, "not_before": None, "again": None}
    db.execute(
        f"UPDATE recordings SET {_assignments(changes)} WHERE id = :id",  # noqa: S608 - our own column names
        changes | {"id": recording_id},
    )
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
    db.execute("DELETE FROM originals WHERE recording_id = ?", (recording_id,))
    db.execute(
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


def _assignments(changes: dict[str, Any]) -> str:
    return ", ".join(f"{column} = :{column}" for column in changes)


def _recording(row: dict[str, Any]) -> Recording:
    known = {field.name: row[field.name] for field in fields(Recording)}
    known |= {name: bool(row[name]) for name in ("is_url", "quiet", "anew")}
    known |= {"source": os.fsdecode(row["source"]), "tags": tuple(json.loads(row["tags"]))}
    return Recording(**known | {"metadata": json.loads(row["metadata"])})
