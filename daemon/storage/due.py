"""Find waiting recordings that are due. Nothing here writes. Times are UTC."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from daemon.models import from_iso, iso
from daemon.storage.connection import Database
from daemon.storage.database import tuples, value
from daemon.storage.pauses import EVERYTHING, LIMIT, Pause, pauses

SUSPECT_CRASHES = 2
"""A recording that was in flight in so many crashes is analyzed alone from then on. A kill from outside hits
all that is in flight, so only a crash with one recording in flight speaks against it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which due recordings may be claimed; by default all that no pause holds.

    `scopes` maps each folder to the scope of its pauses (None: recordings of no watched folder); a folder's
    own name is a scope as well. Left out are the scopes in `held`, those that a pause holds, the folders in
    `away`, and the recordings `but`. `suspects` True selects only recordings that were in flight in
    SUSPECT_CRASHES crashes, False only the others.
    """

    scopes: Mapping[str | None, str] = field(default_factory=dict)
    suspects: bool | None = None
    held: Collection[str] = ()
    away: Collection[str] = ()
    but: Collection[int] = ()

    def scope_of(self, folder: str | None) -> str:
        """Return the scope of the pauses for recordings of this folder."""
        return self.scopes.get(folder, self.scopes.get(None, EVERYTHING))


ANY = Wanted()


def due(
    db: Database,
    now: datetime,
    wanted: Wanted = ANY,
    *,
    most: int = 1,
    present: Collection[Pause] | None = None,
) -> list[int]:
    """Return the ids of the wanted recordings to claim next, `most` at most; none when none is due.

    `present` are the pauses, where they are read already.

    First the one that has been due longest. While anything but a limit holds the queue, it is one of those
    that failed least: the oldest and the newest in turn.
    """
    present = pauses(db) if present is None else present
    held = {pause.scope for pause in present if pause.holds(now)} | {*wanted.held}
    if EVERYTHING in held:
        return []
    # Try a held queue with what has failed least: what always fails says nothing about the service. Take it
    # from both ends in turn, because many that will fail may stand at either end.
    tries = [pause.probes for pause in present if pause.cause != LIMIT]
    turn = "DESC" if max(tries, default=0) % 2 else "ASC"
    first = f"failures + doubtful, not_before {turn}, id {turn}" if tries else "not_before, id"
    folders = [*wanted.away, *held, *(folder for folder, scope in wanted.scopes.items() if scope in held)]
    # Recordings of no folder, or of one no longer watched, have the scope of None.
    found = tuples(
        db,
        f"""
        SELECT id FROM recordings
        WHERE state = 'waiting' AND not_before <= :now AND id NOT IN (SELECT value FROM json_each(:but))
            AND (folder IS NULL OR folder NOT IN (SELECT value FROM json_each(:folders)))
            AND (:with_no_folder OR folder IN (SELECT value FROM json_each(:known)))
            AND (:suspects IS NULL OR (crashes >= :suspect_crashes) = :suspects)
        ORDER BY {first} LIMIT :most
        """,  # noqa: S608 - one of the texts above
        {
            "now": iso(now),
            "but": json.dumps([*wanted.but]),
            "known": json.dumps([folder for folder in wanted.scopes if folder is not None]),
            "folders": json.dumps([folder for folder in folders if folder is not None]),
            "with_no_folder": None not in folders,
            "suspects": wanted.suspects,
            "suspect_crashes": SUSPECT_CRASHES,
            "most": most,
        },
    )
    return [number for (number,) in found]


def has_suspects(db: Database) -> bool:
    """Return whether any recording is left that was in flight in SUSPECT_CRASHES crashes."""
    sql = "SELECT 1 FROM recordings WHERE state IN ('waiting', 'analyzing') AND crashes >= ? LIMIT 1"
    return value(db, sql, (SUSPECT_CRASHES,)) is not None


def seconds_until_due(
    db: Database, now: datetime, *, away: Collection[str] = (), but: Collection[int] = ()
) -> float | None:
    """Return the seconds until a waiting recording is due, 0 when one is due now, None when none waits.

    Those of the folders `away` do not count, nor the recordings `but`.
    """
    due = value(
        db,
        "SELECT min(not_before) FROM recordings WHERE state = 'waiting'"
        " AND (folder IS NULL OR folder NOT IN (SELECT value FROM json_each(?)))"
        " AND id NOT IN (SELECT value FROM json_each(?))",
        (json.dumps([*away]), json.dumps([*but])),
    )
    return None if due is None else max(0.0, (from_iso(due) - now).total_seconds())
