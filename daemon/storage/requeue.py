"""Put recordings back into the queue because a person asks for it, or the fault was not theirs.

Each function writes in a transaction that its caller opens and commits. Times are UTC.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from daemon.models import RecordingState, iso
from daemon.storage.connection import Database
from daemon.storage.database import rows
from daemon.storage.pauses import probe_now
from daemon.storage.queue import let_wait

_IS_RECORDING = "error_code IS NOT 'bad_address' AND error_code IS NOT 'corrected'"
"""Other rows stand for dropped files with addresses: there is nothing in them to be analyzed."""


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
    let_wait(db, condition, {"ids": json.dumps(list(ids))}, now)


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
    return let_wait(db, condition, values, now, **changes)


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
