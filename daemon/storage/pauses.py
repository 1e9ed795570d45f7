"""What holds the queue: one row per cause (`key`, `credit`, `request`, `service`, `store`, `limit`).

A pause is a row, so it survives restarts; a row of `troubles` tells operations of it. A refused request
holds only recordings with the same request: its `scope` is that request's key. A limit of one folder holds
that folder: its `scope` is the folder's name. All others hold everything.

A limit's pause does not pass by itself: nothing is tried before the period ends at `next_probe_at`, unless a
person runs plain `earshot retry` (see limits.py).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from daemon.models import from_iso, iso
from daemon.storage.connection import Database
from daemon.storage.database import rows
from daemon.storage.operations import begin_trouble, end_trouble

EVERYTHING = ""
"""The scope of a pause that holds every recording."""
LIMIT = "limit"
"""The cause of a limit's pause."""
CAUSES = ("key", "credit", "request", "service", "store", LIMIT)
CLOCK_SLACK = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Pause:
    """A cause that holds the queue; `shared` if several recordings met it, not only one.

    Nothing that it holds is tried before `next_probe_at` (UTC, as stored).
    """

    cause: str
    scope: str
    reason: str
    since: str
    next_probe_at: str
    probe_seconds: float
    probes: int
    shared: bool

    def holds(self, now: datetime) -> bool:
        """Return True while nothing may be tried.

        A limit holds until its pause is ended. A probe further away than is possible was planned before the
        clock was set back: it is due.
        """
        if self.cause == LIMIT:
            return True
        furthest = now + timedelta(seconds=self.probe_seconds) + CLOCK_SLACK
        return iso(now) < self.next_probe_at <= iso(furthest)


def pauses(db: Database) -> list[Pause]:
    """Return every present pause, oldest first."""
    found = rows(
        db,
        "SELECT cause, scope, reason, since, next_probe_at, probe_seconds, probes, shared"
        " FROM pauses ORDER BY since, cause",
    )
    return [Pause(**row | {"shared": bool(row["shared"])}) for row in found]


def begin_pause(
    db: Database,
    cause: str,
    reason: str,
    *,
    probe_seconds: float,
    shared: bool,
    now: datetime,
    scope: str = EVERYTHING,
) -> bool:
    """Hold the queue for `cause`, or note that its probe failed again; call inside a transaction.

    Returns True when it was not held for this cause before.
    """
    held = rows(db, "SELECT 1 FROM pauses WHERE cause = ? AND scope = ?", (cause, scope))
    next_probe = iso(now + timedelta(seconds=probe_seconds))
    begin_trouble(db, cause, scope, reason, now)
    if held:
        db.execute(
            "UPDATE pauses SET reason = ?, next_probe_at = ?, probe_seconds = ?, shared = max(shared, ?)"
            " WHERE cause = ? AND scope = ?",
            (reason, next_probe, probe_seconds, int(shared), cause, scope),
        )
        return False
    db.execute(
        "INSERT INTO pauses (cause, scope, reason, since, next_probe_at, probe_seconds, shared)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (cause, scope, reason, iso(now), next_probe, probe_seconds, int(shared)),
    )
    return True


def end_pause(db: Database, pause: Pause, now: datetime) -> None:
    """End this pause, so that what it held goes on; call inside a transaction."""
    end_trouble(db, pause.cause, pause.scope, now)
    db.execute("DELETE FROM pauses WHERE cause = ? AND scope = ?", (pause.cause, pause.scope))
    if pause.shared:
        # A failure of everything says nothing about one recording: its own time starts anew.
        db.execute("UPDATE recordings SET failing_since = NULL WHERE state = 'waiting'")


def probe_now(db: Database, now: datetime) -> None:
    """Let the next recording be tried at once: after a restart, a new key, `retry` or SIGHUP.

    Writes even when nothing is held, so that a start or a reload learns in time whether the database can
    be written. Call inside a transaction.
    """
    # Recordings that failed again and again wait for minutes, or as long as the service asked: without this
    # there might be nothing to try.
    db.execute(
        "UPDATE recordings SET not_before = :now WHERE state = 'waiting' AND not_before > :now"
        " AND EXISTS (SELECT 1 FROM pauses WHERE cause != 'limit')",
        {"now": iso(now)},
    )
    db.execute("UPDATE pauses SET next_probe_at = ?, probes = 0 WHERE cause != 'limit'", (iso(now),))
    # We do not use this number: setting it to 0 again writes a page and changes nothing.
    db.execute("PRAGMA user_version = 0")


def held_scopes(db: Database, now: datetime) -> set[str]:
    """Return the scopes in which nothing may be claimed now (EVERYTHING: all recordings)."""
    return {pause.scope for pause in pauses(db) if pause.holds(now)}


def count_probe(db: Database, scopes: Collection[str], now: datetime) -> None:
    """Note that a recording of these scopes is tried: no other is before the next probe is due.

    Call inside the transaction that claims it.
    """
    for pause in pauses(db):
        if pause.scope in scopes:
            db.execute(
                "UPDATE pauses SET probes = probes + 1, next_probe_at = ? WHERE cause = ? AND scope = ?",
                (iso(now + timedelta(seconds=pause.probe_seconds)), pause.cause, pause.scope),
            )


def seconds_until_probe(db: Database, now: datetime, *, is_due: bool) -> float:
    """Return seconds until a recording may be tried; 0 if nothing holds the whole queue.

    `is_due` says that recordings are due but none may be claimed: then pauses of one scope count as well.
    """
    held = [pause for pause in pauses(db) if pause.holds(now)]
    whole = [pause.next_probe_at for pause in held if pause.scope == EVERYTHING]
    part = [pause.next_probe_at for pause in held if is_due]
    until = max(whole) if whole else min(part, default=iso(now))
    return max(0.0, (from_iso(until) - now).total_seconds())
