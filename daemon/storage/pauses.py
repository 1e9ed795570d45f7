"""What holds the queue: one row per cause (`key`, `credit`, `request`, `service`, `store`, `limit`).

A pause is a row, so it survives restarts; operations hear of it by a row of `troubles`. A refused request
holds only the recordings for which the same would be asked: its `scope` is that request's key. A limit of one
folder holds that folder: its `scope` is the folder's name. All others hold everything.

A limit's pause is no trouble that may have passed: nothing is tried while it lasts, whatever a person does,
except by plain `earshot retry` (see limits.py). Its `next_probe_at` is the end of the limit's period.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlite_utils import Database

from daemon.models import from_iso, iso
from daemon.storage.database import rows
from daemon.storage.operations import begin_trouble, end_trouble

EVERYTHING = ""
"""The scope of a pause that holds every recording."""
LIMIT = "limit"
"""The cause of a limit's pause."""
CLOCK_SLACK = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Pause:
    """A cause that holds the queue. `shared` means that several recordings met it, not one alone.

    Until `next_probe_at` (UTC, as stored) nothing that it holds is tried.
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
        """True while nothing may be tried yet.

        A limit holds until its pause is ended. A probe that is further away than any ever is was planned
        before the clock was set back: it is due.
        """
        if self.cause == LIMIT:
            return True
        furthest = now + timedelta(seconds=self.probe_seconds) + CLOCK_SLACK
        return iso(now) < self.next_probe_at <= iso(furthest)


def pauses(db: Database) -> list[Pause]:
    """Every pause there is now, the oldest first."""
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
        # What failed for everyone says nothing about a recording: its own clock starts anew.
        db.execute("UPDATE recordings SET failing_since = NULL WHERE state = 'waiting'")


def probe_now(db: Database, now: datetime) -> None:
    """Let the next recording be tried at once: after a restart, a new key, `retry` or SIGHUP.

    Writes also when nothing is held: a start and a reload learn here whether the database takes anything,
    while they can still wait for that, or be refused. Call inside a transaction.
    """
    # What failed again and again waits for minutes, or as long as the service asked for: then there would be
    # nothing to try.
    db.execute(
        "UPDATE recordings SET not_before = :now WHERE state = 'waiting' AND not_before > :now"
        " AND EXISTS (SELECT 1 FROM pauses WHERE cause != 'limit')",
        {"now": iso(now)},
    )
    db.execute("UPDATE pauses SET next_probe_at = ?, probes = 0 WHERE cause != 'limit'", (iso(now),))
    # SQLite's own number for users, of which we have no other use: a page is written, the same as before.
    db.execute("PRAGMA user_version = 0")


def held_scopes(db: Database, now: datetime) -> set[str]:
    """The scopes of which nothing may be claimed now; EVERYTHING among them means nothing at all."""
    return {pause.scope for pause in pauses(db) if pause.holds(now)}


def count_probe(db: Database, scopes: Collection[str], now: datetime) -> None:
    """Note that a recording of these scopes is tried, so that none is until the next probe is due.

    Call inside the transaction that claims it.
    """
    for pause in pauses(db):
        if pause.scope in scopes:
            db.execute(
                "UPDATE pauses SET probes = probes + 1, next_probe_at = ? WHERE cause = ? AND scope = ?",
                (iso(now + timedelta(seconds=pause.probe_seconds)), pause.cause, pause.scope),
            )


def seconds_until_probe(db: Database, now: datetime, *, is_due: bool) -> float:
    """Seconds until a recording may be tried; 0 when nothing holds the whole queue.

    `is_due` says that recordings are due but none may be claimed: then what holds those counts as well.
    """
    held = [pause for pause in pauses(db) if pause.holds(now)]
    whole = [pause.next_probe_at for pause in held if pause.scope == EVERYTHING]
    part = [pause.next_probe_at for pause in held if is_due]
    until = max(whole) if whole else min(part, default=iso(now))
    return max(0.0, (from_iso(until) - now).total_seconds())
