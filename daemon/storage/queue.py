"""The queue: claiming recordings, and every way in which a claimed one leaves the `analyzing` state again.

Each function is one transaction of its own unless it says otherwise. Times are UTC.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from daemon.models import Recording, RecordingState, iso, shown_path
from daemon.storage.database import rows, transaction
from daemon.storage.pauses import EVERYTHING, count_probe, held_scopes, pauses

MAX_WAIT = timedelta(minutes=20)
"""No retry is ever due later than this; a row that says so was written before the clock was set back."""

CRASHES_ALLOWED = 3
SUSPECT_CRASHES = 2
"""A recording that was in flight in so many crashes is analyzed alone from then on. Whatever kills a process
from outside takes all with it that is in flight: only a crash without company speaks against a recording."""

DOUBTFUL_RESENDS = 2


def claim(
    db: Database,
    now: datetime,
    *,
    scopes: Mapping[str | None, str] | None = None,
    suspects: bool | None = None,
    also_held: Collection[str] = (),
    away: Collection[str] = (),
) -> Recording | None:
    """Take the recording that has been due longest out of the queue, or None when none is due.

    Committed before the caller sends anything, so a crash afterwards finds the row `analyzing`. What a
    pause holds is not claimed, except one probe each time the pause allows; `scopes` maps folders to the
    scope of pauses that concern them (None: recordings of no folder that is watched). `suspects` restricts
    it to those that were in flight in SUSPECT_CRASHES crashes, or to the others; `also_held` are scopes of
    which none is claimed either, and those of the folders `away` wait.
    """
    scopes = scopes or {}
    if not _due(db, now, scopes, held_scopes(db, now) | {*also_held}, suspects, away):
        return None
    with transaction(db):
        found = _due(db, now, scopes, held_scopes(db, now) | {*also_held}, suspects, away)
        if not found:
            return None
        claimed = rows(
            db,
            "UPDATE recordings SET state = 'analyzing', not_before = NULL WHERE id = ? RETURNING *",
            (found[0]["id"],),
        )[0]
        scope = scopes.get(claimed["folder"], scopes.get(None, EVERYTHING))
        count_probe(db, {EVERYTHING, scope}, now)
    return _recording(claimed)


def claim_again(db: Database, recording_id: int, now: datetime) -> Recording | None:
    """Claim this one recording if it waits and is due now, whatever else waits; None when it is not,
    or when anything is held: it waits for that then, although it is due.
    """
    if held_scopes(db, now):
        return None
    with transaction(db):
        claimed = rows(
            db,
            "UPDATE recordings SET state = 'analyzing', not_before = NULL"
            " WHERE id = ? AND state = 'waiting' AND not_before <= ? RETURNING *",
            (recording_id, iso(now)),
        )
    return _recording(claimed[0]) if claimed else None


def has_suspects(db: Database) -> bool:
    """Whether any recording is left that was in flight in SUSPECT_CRASHES crashes."""
    return bool(
        rows(
            db,
            "SELECT 1 FROM recordings WHERE state IN ('waiting', 'analyzing') AND crashes >= ? LIMIT 1",
            (SUSPECT_CRASHES,),
        )
    )


def is_suspect_due(
    db: Database,
    now: datetime,
    *,
    scopes: Mapping[str | None, str] | None = None,
    away: Collection[str] = (),
) -> bool:
    """Whether `claim` would find a recording with `suspects`."""
    return bool(_due(db, now, scopes or {}, held_scopes(db, now), True, away))


def _due(
    db: Database,
    now: datetime,
    scopes: Mapping[str | None, str],
    held: Collection[str],
    suspects: bool | None,
    away: Collection[str],
) -> list[dict[str, Any]]:
    if EVERYTHING in held:
        return []
    # A held queue is tried with what has not failed yet: what fails always says nothing about the service.
    is_probe = bool(pauses(db))
    folders = [*away, *(folder for folder, scope in scopes.items() if scope in held)]
    # What belongs to no folder, or to one that is not watched any more, is asked for in the same way.
    return rows(
        db,
        """
        SELECT id FROM recordings
        WHERE state = 'waiting' AND not_before <= :now
            AND (folder IS NULL OR folder NOT IN (SELECT value FROM json_each(:folders)))
            AND (:with_no_folder OR folder IN (SELECT value FROM json_each(:known)))
            AND (:suspects IS NULL OR (crashes >= :suspect_crashes) = :suspects)
        ORDER BY """  # noqa: S608 - one of two texts of ours
        + ("failures + doubtful, not_before, id LIMIT 1" if is_probe else "not_before, id LIMIT 1"),
        {
            "now": iso(now),
            "known": json.dumps([folder for folder in scopes if folder is not None]),
            "folders": json.dumps([folder for folder in folders if folder is not None]),
            "with_no_folder": None not in folders,
            "suspects": suspects,
            "suspect_crashes": SUSPECT_CRASHES,
        },
    )


def seconds_until_due(db: Database, now: datetime, *, away: Collection[str] = ()) -> float | None:
    """Seconds until the next waiting recording is due, 0 when one is due now, None when none waits.

    Those of the folders `away` do not count.
    """
    found = rows(
        db,
        "SELECT min(not_before) AS due FROM recordings WHERE state = 'waiting'"
        " AND (folder IS NULL OR folder NOT IN (SELECT value FROM json_each(?)))",
        (json.dumps(list(away)),),
    )
    due = found[0]["due"]
    if due is None:
        return None
    return max(0.0, (datetime.fromisoformat(due) - now).total_seconds())


def clamp_waits(db: Database, now: datetime) -> int:
    """Make due what waits absurdly long because the clock was set back; returns how many rows."""
    with transaction(db):
        changed = db.execute(
            "UPDATE recordings SET not_before = ? WHERE state = 'waiting' AND not_before > ?",
            (iso(now), iso(now + MAX_WAIT)),
        )
        return changed.rowcount


def put_back(
    db: Database,
    recording: Recording,
    *,
    error: str | None,
    not_before: datetime,
    failing: bool,
    now: datetime,
) -> None:
    """Return a claimed recording to the queue; call inside a transaction.

    `failing` says that the trouble may be the recording's own: the time since the first such failure
    counts towards giving up.
    """
    failing_since = (recording.failing_since or iso(now)) if failing else recording.failing_since
    db.execute(
        "UPDATE recordings SET state = 'waiting', not_before = ?, error = ?, failing_since = ?,"
        " failures = failures + ? WHERE id = ?",
        (iso(not_before), error, failing_since, int(failing), recording.id),
    )


def analyze_in_parts(db: Database, recording_id: int, part_words: int) -> None:
    """Note that the transcript is to be analyzed so many words at a time; call inside a transaction.

    Parts of another size that were analyzed before are of no use any more.
    """
    db.execute("DELETE FROM responses WHERE recording_id = ? AND kind = 'read'", (recording_id,))
    db.execute("UPDATE recordings SET part_words = ? WHERE id = ?", (part_words, recording_id))


def reopen_refused(db: Database, ids: Collection[int], now: datetime) -> None:
    """Return recordings that failed as `refused` to the queue; call inside a transaction."""
    db.execute(
        "UPDATE recordings SET state = 'waiting', not_before = ?, error_code = NULL"
        " WHERE state = 'failed' AND error_code = 'refused' AND id IN (SELECT value FROM json_each(?))",
        (iso(now), json.dumps(list(ids))),
    )


def uncount_attempt(db: Database, recording_id: int) -> None:
    """Take back an attempt that says nothing about the recording; call inside a transaction."""
    db.execute("UPDATE recordings SET attempts = max(0, attempts - 1) WHERE id = ?", (recording_id,))


def count_billed(db: Database, recording_id: int) -> None:
    """Count a request that was answered; call inside a transaction."""
    db.execute("UPDATE recordings SET possibly_billed = possibly_billed + 1 WHERE id = ?", (recording_id,))


def count_doubtful(db: Database, recording_id: int) -> None:
    """Count a request whose reply was lost as possibly billed; call inside a transaction."""
    db.execute(
        "UPDATE recordings SET possibly_billed = possibly_billed + 1, doubtful = doubtful + 1 WHERE id = ?",
        (recording_id,),
    )


def close(
    db: Database,
    recording_id: int,
    state: RecordingState,
    *,
    error_code: str,
    error: str,
    request_id: str | None = None,
) -> None:
    """End a recording as `failed` or `skipped` with its reason; call inside a transaction."""
    db.execute(
        "UPDATE recordings SET state = ?, not_before = NULL, error_code = ?, error = ?,"
        " request_id = coalesce(?, request_id) WHERE id = ?",
        (state, error_code, error, request_id, recording_id),
    )


def recover(db: Database, now: datetime, *, crashed: bool = True) -> int:
    """After a restart: return to the queue what a dead process had claimed; returns how many rows that were.

    A request that had begun may have been billed and counts as such. A recording that was in flight in
    CRASHES_ALLOWED deaths, alone in the last of them (see SUSPECT_CRASHES), is set aside as failed. One
    whose reply is stored is finished from that when it is claimed again, without another request.
    With `crashed` False a process that ends in order returns what it does not wait for: no crash.
    """
    with transaction(db):
        db.execute(
            "UPDATE recordings SET possibly_billed = possibly_billed + 1, doubtful = doubtful + 1"
            " WHERE state = 'analyzing'"
            " AND id IN (SELECT recording_id FROM requests WHERE outcome = 'sending')"
        )
        db.execute("UPDATE recordings SET crashes = crashes + ? WHERE state = 'analyzing'", (int(crashed),))
        db.execute(
            "UPDATE requests SET outcome = 'unknown', ended_at = ? WHERE outcome = 'sending'", (iso(now),)
        )
        _set_aside(db)
        returned = db.execute(
            "UPDATE recordings SET state = 'waiting', not_before = ? WHERE state = 'analyzing'", (iso(now),)
        )
    return returned.rowcount


def _set_aside(db: Database) -> None:
    db.execute(
        "UPDATE recordings SET state = 'failed', not_before = NULL, error_code = 'crashed',"
        " error = 'earshot ended unexpectedly ' || crashes || ' times while this recording was in work;"
        " look at the file, then `earshot retry ' || id || '`'"
        " WHERE state = 'analyzing' AND crashes >= ?",
        (CRASHES_ALLOWED,),
    )
    db.execute(
        "UPDATE recordings SET state = 'failed', not_before = NULL, error_code = 'ambiguous_reply',"
        " error = 'no reply arrived to ' || doubtful || ' requests, each possibly billed;"
        " `earshot retry ' || id || '` sends it again'"
        " WHERE state = 'analyzing' AND doubtful > ?",
        (DOUBTFUL_RESENDS,),
    )


def add_claimed(db: Database, *, source: str, is_url: bool, folder: str | None, now: datetime) -> Recording:
    """Add a recording that the caller analyzes itself, right now (`earshot analyze`)."""
    shown = shown_path(source)
    name = shown.rstrip("/").rpartition("/")[2] or shown
    size, modified = _size_and_time(source) if not is_url else (None, None)
    with transaction(db):
        added = rows(
            db,
            """
            INSERT INTO recordings (
                path, name, source, is_url, folder, size_bytes, modified_at, state, first_seen_at
            )
            VALUES (?, ?, ?, ?, ?, ?, ?, 'analyzing', ?) RETURNING *
            """,
            (shown, name, os.fsencode(source), int(is_url), folder, size, modified, iso(now)),
        )
    return _recording(added[0])


def _size_and_time(path: str) -> tuple[int | None, str | None]:
    try:
        status = Path(path).lstat()
        return status.st_size, iso(datetime.fromtimestamp(status.st_mtime, UTC))
    except (OSError, OverflowError, ValueError):
        return None, None


def _recording(row: dict[str, Any]) -> Recording:
    return Recording(
        id=row["id"],
        source=os.fsdecode(row["source"]),
        is_url=bool(row["is_url"]),
        folder=row["folder"],
        name=row["name"],
        attempts=row["attempts"],
        crashes=row["crashes"],
        doubtful=row["doubtful"],
        failures=row["failures"],
        quiet=bool(row["quiet"]),
        failing_since=row["failing_since"],
        modified_at=row["modified_at"],
        recorded_at=row["recorded_at"],
        first_seen_at=row["first_seen_at"],
        tags=tuple(json.loads(row["tags"])),
        metadata=json.loads(row["metadata"]),
        part_words=row["part_words"],
        anew=bool(row["anew"]),
    )
