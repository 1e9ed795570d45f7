"""Estimated costs: a row for each request that was billed or may have been, and sums for people.

Functions that write run in the caller's transaction, with the result or failure they belong to.
"""

from __future__ import annotations

from datetime import datetime, tzinfo
from typing import Any

from daemon.models import Cost, from_iso, iso
from daemon.storage.connection import Database
from daemon.storage.counters import count_cost
from daemon.storage.database import rows
from daemon.storage.days import learn_days

Row = dict[str, Any]


def add_cost(
    db: Database, recording_id: int | None, cost: Cost, now: datetime, *, folder: str | None = None
) -> None:
    """Note what the request behind a result cost.

    Without a recording, where nothing is stored or it was deleted meanwhile, `folder` is where it was from.
    """
    found = rows(db, "SELECT folder FROM recordings WHERE id = ?", (recording_id,))
    recording_id = recording_id if found else None
    folder = found[0]["folder"] if found else folder
    _add(db, recording_id, folder, cost, now)
    count_cost(db, folder, cost.usd or 0.0)


def _add(db: Database, recording_id: int | None, folder: str | None, cost: Cost, now: datetime) -> None:
    db.conn.execute(
        "INSERT INTO costs (recording_id, folder, at, model, seconds, channels, input_tokens, output_tokens,"
        " usd, prices_of) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            recording_id,
            folder,
            iso(now),
            cost.model,
            cost.seconds,
            cost.channels,
            cost.input_tokens,
            cost.output_tokens,
            cost.usd,
            cost.prices_of,
        ),
    )
    db.conn.execute(
        "UPDATE periods SET usd = usd + ?, recordings = recordings + 1"
        " WHERE scope IN ('', ?) AND started_at <= ?",
        (cost.usd or 0.0, folder, iso(now)),
    )


def take_over_costs(db: Database, other: Database) -> None:
    """Move the costs in `other`, a database in memory, to this one, where they belong to no recording."""
    for row in rows(
        other,
        "SELECT folder, at, model, seconds, channels, input_tokens, output_tokens, usd, prices_of FROM costs",
    ):
        folder, at = row.pop("folder"), from_iso(row.pop("at"))
        add_cost(db, None, Cost(**row), at, folder=folder)
    other.execute("DELETE FROM costs")


def add_result_cost(db: Database, recording_id: int, folder: str | None, cost: Cost, now: datetime) -> None:
    """Note what a result cost, with all the requests that it came from; `count_analyzed` counts it."""
    _add(db, recording_id, folder, cost, now)
    db.conn.execute(
        "UPDATE requests SET costed = 1 WHERE recording_id = ? AND outcome = 'received'", (recording_id,)
    )


def add_unused_costs(db: Database, recording_id: int, now: datetime) -> None:
    """Note the cost of a recording's answered requests from which no result will come."""
    sql = "SELECT id FROM requests WHERE recording_id = ? AND outcome = 'received' AND NOT costed"
    for request in rows(db, sql, (recording_id,)):
        add_lost_cost(db, request["id"], now)


def add_lost_cost(db: Database, request: int, now: datetime) -> None:
    """Note the expected cost of a request without a result, if it was billed."""
    db.execute("UPDATE requests SET costed = 1 WHERE id = ?", (request,))
    (row,) = rows(
        db,
        "SELECT recording_id, model, seconds, channels, usd, prices_of FROM requests WHERE id = ?",
        (request,),
    )
    recording_id = row.pop("recording_id")
    add_cost(db, recording_id, Cost(**row, input_tokens=None, output_tokens=None), now)


def spent(db: Database, since: datetime, until: datetime) -> float:
    """Return what was spent since then, and before `until`, in USD."""
    sql = "SELECT coalesce(sum(usd), 0.0) AS usd FROM costs WHERE at >= ? AND at < ?"
    found = rows(db, sql, (iso(since), iso(until)))
    usd: float = found[0]["usd"]
    return usd


GROUPS = {
    "folder": "costs.folder",
    "day": "local_day(costs.at)",
    "month": "substr(local_day(costs.at), 1, 7)",
    "model": "costs.model",
}


def costs_by(db: Database, group: str, since: str | None, zone: tzinfo) -> list[Row]:
    """Return sums by `folder`, `day`, `month`, `model` or `metadata.KEY`: days and months of `zone` in order
    of time, others the most expensive first.

    `key` is the group's name (None without one); `unpriced` counts requests without a known price. In
    `recordings` each request of a deleted recording counts as one.
    """
    learn_days(db, zone)
    known = GROUPS.get(group)
    key = known or "(SELECT value FROM json_each(recordings.metadata) WHERE json_each.key = :key)"
    order = "key" if group in ("day", "month") else "usd DESC, key"
    return rows(
        db,
        f"""
        SELECT {key} AS key,
            count(DISTINCT costs.recording_id) + sum(costs.recording_id IS NULL) AS recordings,
            count(*) AS requests,
            coalesce(sum(costs.seconds), 0.0) AS seconds,
            coalesce(sum(costs.input_tokens), 0) AS input_tokens,
            coalesce(sum(costs.output_tokens), 0) AS output_tokens,
            coalesce(sum(costs.usd), 0.0) AS usd, sum(costs.usd IS NULL) AS unpriced
        FROM costs LEFT JOIN recordings ON recordings.id = costs.recording_id
        WHERE costs.at >= :since GROUP BY 1 ORDER BY {order}
        """,  # noqa: S608 - our own texts
        {"key": group.removeprefix("metadata."), "since": since or ""},
    )
