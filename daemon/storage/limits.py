"""Limits of cost and number: how much of each is used, and the pauses and warnings that follow.

Recordings in flight count in advance, by their expected cost; others count by the rows of `costs`.
Times are UTC.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from daemon.models import from_iso, iso
from daemon.storage.connection import Database
from daemon.storage.database import rows, transaction
from daemon.storage.operations import begin_trouble, end_trouble
from daemon.storage.pauses import EVERYTHING, LIMIT, Pause, begin_pause, end_pause, pauses
from daemon.text import shown_usd

WARNED_FROM = 0.8
"""The share of a limit from which operations are warned."""
ROUNDING = 1e-9
"""Ten times 0.1 is a little less than 1."""
LEAP = timedelta(days=1)
"""A pause that begins further in the future is from before the clock was set back."""

NEAR, OVER = "limit_near", "limit_over"
"""Causes of troubles that hold nothing: most of a limit is used, or all of one that only warns."""

_STATES = ("", "warned", "reached", "lifted")
"""What became of a limit in its period; `lifted`: a person lifted it until the period ends."""

Periods = Mapping[str, tuple[datetime, datetime]]
"""Beginning and end of the present hour, day and month, by the configured time zone."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit of the configuration, `cost_per_day` for example, of one folder or of EVERYTHING (`scope`).

    `most` is in USD or a number of recordings. Only a limit that `holds` pauses the queue. `assumed` is the
    cost in USD of one recording of each folder while its length is not known.
    """

    name: str
    scope: str
    most: float
    holds: bool
    assumed: Mapping[str | None, float]

    @property
    def every(self) -> str:
        """`hour`, `day` or `month`."""
        return self.name.rpartition("_")[2]

    @property
    def counts(self) -> str:
        """Return the column of `periods` that it limits."""
        return "usd" if self.name.startswith("cost") else "recordings"

    @property
    def subject(self) -> str:
        """Return its name in messages."""
        return f"{self.name} of {self.scope or 'all folders'}"


def keep_limits(db: Database, limits: Sequence[Limit], periods: Periods, now: datetime) -> frozenset[str]:
    """Begin and end pauses and warnings; returns the scopes that are full with what is in flight.

    In those, nothing may be claimed for now; no pause begins, because what is in flight may cost less than
    expected. A pause begins when what was spent reaches a limit. Changes are one transaction.
    """
    if _is_news(db, limits, periods, now):
        with transaction(db):
            _renew(db, limits, periods, now)
    return _full(db, limits)


def lift_limits(db: Database, now: datetime) -> int:
    """Lift the limits reached until their periods end; returns how many pauses ended."""
    lifted = [pause for pause in pauses(db) if pause.cause == LIMIT]
    for pause in lifted:
        end_pause(db, pause, now)
    db.execute("UPDATE periods SET state = 'lifted' WHERE state = 'reached'")
    return len(lifted)


def used_of_limits(db: Database) -> dict[tuple[str, str], tuple[str, float, int]]:
    """Return by name and scope the start of the period that was counted last, its USD and its recordings."""
    return {key: (row["started_at"], row["usd"], row["recordings"]) for key, row in _known(db).items()}


def limits_holding(db: Database, ids: Collection[int]) -> list[str]:
    """Return why limits let none of these recordings be sent now, one reason for each limit that does."""
    sql = "SELECT DISTINCT folder FROM recordings WHERE id IN (SELECT value FROM json_each(?))"
    scopes = {EVERYTHING, *(row["folder"] for row in rows(db, sql, (json.dumps(list(ids)),)))}
    return [pause.reason for pause in pauses(db) if pause.cause == LIMIT and pause.scope in scopes]


def _is_news(db: Database, limits: Sequence[Limit], periods: Periods, now: datetime) -> bool:
    known = _known(db)
    if known.keys() - {(limit.name, limit.scope) for limit in limits}:
        return True
    if any(_is_over(pause, now) for pause in pauses(db)):
        return True
    return any(_is_changed(limit, known.get((limit.name, limit.scope)), periods) for limit in limits)


def _is_changed(limit: Limit, row: dict[str, Any] | None, periods: Periods) -> bool:
    return _is_stale(limit, row, periods) or _is_further(limit, row)


def _is_stale(limit: Limit, row: dict[str, Any] | None, periods: Periods) -> bool:
    return row is None or (row["started_at"], row["most"]) != (iso(periods[limit.every][0]), limit.most)


def _is_further(limit: Limit, row: dict[str, Any] | None) -> bool:
    return row is not None and _STATES.index(_level(limit, row)) > _STATES.index(row["state"])


def _level(limit: Limit, row: dict[str, Any]) -> str:
    used = row[limit.counts] + ROUNDING
    return "reached" if used >= limit.most else "warned" if used >= WARNED_FROM * limit.most else ""


def _is_over(pause: Pause, now: datetime) -> bool:
    """Return whether a limit's pause ended with its period."""
    return pause.cause == LIMIT and (pause.next_probe_at <= iso(now) or pause.since > iso(now + LEAP))


def _renew(db: Database, limits: Sequence[Limit], periods: Periods, now: datetime) -> None:
    """Bring the periods, the pauses and the warnings up to date; called inside a transaction."""
    for pause in pauses(db):
        if _is_over(pause, now):
            end_pause(db, pause, now)
    known = _known(db)
    for name, scope in known.keys() - {(limit.name, limit.scope) for limit in limits}:
        db.execute("DELETE FROM periods WHERE name = ? AND scope = ?", (name, scope))
        _end_warnings(db, Limit(name, scope, 0.0, False, {}), now)
    for limit in limits:
        row = known.get((limit.name, limit.scope))
        if row is None or _is_stale(limit, row, periods):
            row = _count(db, limit, *periods[limit.every])
            _end_warnings(db, limit, now)
        if _is_further(limit, row):
            _tell(db, limit, row, periods[limit.every][1], now)


def _count(db: Database, limit: Limit, start: datetime, end: datetime) -> dict[str, Any]:
    """Begin a period; return its row, with what was used already.

    Rows from after its end are left out: they were written while the clock was ahead.
    """
    values = {"name": limit.name, "scope": limit.scope, "most": limit.most}
    values |= {"start": iso(start), "end": iso(end)}
    return rows(
        db,
        """
        INSERT OR REPLACE INTO periods (name, scope, started_at, most, usd, recordings)
        SELECT :name, :scope, :start, :most, coalesce(sum(usd), 0.0), count(*)
        FROM costs WHERE at >= :start AND at < :end AND (:scope = '' OR folder = :scope) RETURNING *
        """,
        values,
    )[0]


def _tell(db: Database, limit: Limit, row: dict[str, Any], ends: datetime, now: datetime) -> None:
    """Note that a limit is reached or nearly so; pause the queue if it is reached and `holds`."""
    level = _level(limit, row)
    db.execute("UPDATE periods SET state = ? WHERE name = ? AND scope = ?", (level, limit.name, limit.scope))
    detail = f"{limit.subject}: {_shown(limit, row)} {{}} until {ends:%Y-%m-%d %H:%M %Z}"
    if level == "warned":
        begin_trouble(db, NEAR, limit.subject, detail.format("used"), now)
        return
    end_trouble(db, NEAR, limit.subject, now)
    if limit.holds:
        reason = f"{detail.format('used; nothing is sent')}, or until `earshot retry`"
        _pause(db, limit.scope, reason, ends, now)
    else:
        begin_trouble(db, OVER, limit.subject, detail.format("used"), now)


def _pause(db: Database, scope: str, reason: str, ends: datetime, now: datetime) -> None:
    held = [pause for pause in pauses(db) if (pause.cause, pause.scope) == (LIMIT, scope)]
    # Of several limits, the one that ends last sets the end of the pause.
    if not held or from_iso(held[0].next_probe_at) < ends:
        seconds = (ends - now).total_seconds()
        begin_pause(db, LIMIT, reason, probe_seconds=seconds, shared=False, scope=scope, now=now)


def _end_warnings(db: Database, limit: Limit, now: datetime) -> None:
    for cause in (NEAR, OVER):
        end_trouble(db, cause, limit.subject, now)


def _shown(limit: Limit, row: dict[str, Any]) -> str:
    used = row[limit.counts]
    if limit.counts == "usd":
        return f"{shown_usd(used)} of {shown_usd(limit.most)} USD"
    return f"{used} of {limit.most:.0f}"


def _full(db: Database, limits: Sequence[Limit]) -> frozenset[str]:
    holding = [limit for limit in limits if limit.holds]
    if not holding:
        return frozenset()
    # In this order: what ends between the two is counted twice for a moment, and not left out.
    flying = _in_flight(db)
    known = _known(db)
    return frozenset(
        limit.scope
        for limit in holding
        if (row := known[limit.name, limit.scope])["state"] != "lifted"
        and row[limit.counts] + _expected(limit, flying) + ROUNDING >= limit.most
    )


def _expected(limit: Limit, flying: Collection[dict[str, Any]]) -> float:
    within = [row for row in flying if limit.scope in (EVERYTHING, row["folder"])]
    if limit.counts == "recordings":
        return float(sum(row["recordings"] for row in within))
    return float(sum(row["usd"] + row["unknown"] * _assumed(limit, row["folder"]) for row in within))


def _assumed(limit: Limit, folder: str | None) -> float:
    return limit.assumed.get(folder, limit.assumed.get(None, 0.0))


def _in_flight(db: Database) -> list[dict[str, Any]]:
    """Return for each folder the recordings in work, their cost, and how many have an unknown cost."""
    return rows(
        db,
        """
        SELECT folder, count(*) AS recordings, coalesce(sum(usd), 0.0) AS usd, sum(usd IS NULL) AS unknown
        FROM (
            SELECT folder, (
                SELECT usd FROM requests WHERE recording_id = recordings.id AND usd IS NOT NULL
                ORDER BY id DESC LIMIT 1
            ) AS usd
            FROM recordings WHERE state = 'analyzing'
            UNION ALL
            SELECT folder, usd FROM requests JOIN recordings ON recordings.id = recording_id
            WHERE outcome = 'reading'
        ) GROUP BY folder
        """,
    )


def _known(db: Database) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["name"], row["scope"]): row for row in rows(db, "SELECT * FROM periods")}
