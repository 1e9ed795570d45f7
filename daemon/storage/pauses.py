"""What holds the queue: one row per cause (`key`, `credit`, `request`, `service`), from its start to its end.

A pause is a row, so it survives restarts, and its operations alert is written in the same transaction: one
when it begins, one when it is over, whatever happens in between.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlite_utils import Database

from daemon.models import from_iso, iso
from daemon.storage.database import rows, transaction


@dataclass(frozen=True, slots=True)
class Pause:
    """A cause that holds the queue. `shared` means that several recordings met it, not one alone."""

    cause: str
    reason: str
    since: str
    probes: int
    shared: bool


def pauses(db: Database) -> list[Pause]:
    """Every cause that holds the queue now, the oldest first."""
    return [
        Pause(row["cause"], row["reason"], row["since"], row["probes"], bool(row["shared"]))
        for row in rows(db, "SELECT * FROM pauses ORDER BY since")
    ]


def begin_pause(
    db: Database, cause: str, reason: str, *, probe_seconds: float, shared: bool, now: datetime
) -> bool:
    """Hold the queue for `cause`, or note that its probe failed again; call inside a transaction.

    Returns True when it was not held for this cause before: then its alert is due.
    """
    held = rows(db, "SELECT 1 FROM pauses WHERE cause = ?", (cause,))
    next_probe = iso(now + timedelta(seconds=probe_seconds))
    if held:
        db.execute(
            "UPDATE pauses SET reason = ?, next_probe_at = ?, probe_seconds = ?, shared = max(shared, ?)"
            " WHERE cause = ?",
            (reason, next_probe, probe_seconds, int(shared), cause),
        )
        return False
    db.execute(
        "INSERT INTO pauses (cause, reason, since, next_probe_at, probe_seconds, shared)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (cause, reason, iso(now), next_probe, probe_seconds, int(shared)),
    )
    return True


def end_pauses(db: Database, *, but: str | None = None, only: str | None = None) -> list[Pause]:
    """Let the queue go on, except for the cause `but`, or as for the cause `only`; call inside a transaction.

    Returns what ended.
    """
    ended = [pause for pause in pauses(db) if pause.cause != but and only in (None, pause.cause)]
    for pause in ended:
        db.execute("DELETE FROM pauses WHERE cause = ?", (pause.cause,))
        if pause.shared:
            # What failed for everyone says nothing about a recording: its own clock starts anew.
            db.execute("UPDATE recordings SET failing_since = NULL WHERE state = 'waiting'")
    return ended


def probe_now(db: Database, now: datetime) -> None:
    """Let the next recording be tried at once: after a restart, a new key, `retry` or SIGHUP."""
    with transaction(db):
        db.execute("UPDATE pauses SET next_probe_at = ?, probes = 0", (iso(now),))


def may_probe(db: Database, now: datetime) -> bool:
    """Whether a recording may be claimed as far as pauses go; call inside the claim's transaction.

    Where a probe is due this counts it and sets the time of the next, so that one claim gets through.
    """
    held = rows(db, "SELECT * FROM pauses")
    if any(row["next_probe_at"] > iso(now) for row in held):
        return False
    for row in held:
        db.execute(
            "UPDATE pauses SET probes = probes + 1, next_probe_at = ? WHERE cause = ?",
            (iso(now + timedelta(seconds=row["probe_seconds"])), row["cause"]),
        )
    return True


def seconds_until_probe(db: Database, now: datetime) -> float:
    """Seconds until a recording may be tried; 0 when nothing holds the queue."""
    due = rows(db, "SELECT max(next_probe_at) AS due FROM pauses")[0]["due"]
    return max(0.0, (from_iso(due) - now).total_seconds()) if due else 0.0
