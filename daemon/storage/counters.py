"""Counters for metrics: what was asked, analyzed and spent since the database was made.

They are rows of their own, because recordings and their requests go with retention, and a counter must
never fall. Functions that write run in the transaction of what they count.
"""

from __future__ import annotations

import bisect
import math
from datetime import datetime
from typing import Any

from daemon.models import from_iso, iso
from daemon.storage.connection import Database
from daemon.storage.database import rows

Row = dict[str, Any]

BOUNDS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, math.inf)
"""Upper bounds, in seconds, by which requests are counted."""


def count_request(db: Database, started_at: str, outcome: str, now: datetime) -> None:
    """Count a request that began then and ends now, by how long it took."""
    # The clock may have been set back meanwhile.
    seconds = max(0.0, (now - from_iso(started_at)).total_seconds())
    db.conn.execute(
        "INSERT INTO request_counters (outcome, up_to, requests, seconds) VALUES (?, ?, 1, ?)"
        " ON CONFLICT (outcome, up_to) DO UPDATE"
        " SET requests = requests + 1, seconds = seconds + excluded.seconds",
        (outcome, BOUNDS[bisect.bisect_left(BOUNDS, seconds)], seconds),
    )


def count_analyzed(db: Database, folder: str | None, seconds: float, usd: float, now: datetime) -> None:
    """Count a recording of this folder whose result was just stored, and what was spent on it."""
    db.conn.execute(
        "INSERT INTO folder_counters (folder, analyzed, seconds, usd, last_at) VALUES (?, 1, ?, ?, ?)"
        " ON CONFLICT (folder) DO UPDATE SET analyzed = analyzed + 1, usd = usd + excluded.usd,"
        " seconds = seconds + excluded.seconds, last_at = excluded.last_at",
        (folder or "", seconds, usd, iso(now)),
    )


def count_cost(db: Database, folder: str | None, usd: float) -> None:
    """Count what was spent on a recording of this folder."""
    db.execute(
        "INSERT INTO folder_counters (folder, usd) VALUES (?, ?)"
        " ON CONFLICT (folder) DO UPDATE SET usd = usd + excluded.usd",
        (folder or "", usd),
    )


def request_counters(db: Database) -> list[Row]:
    """Return the requests that have ended: outcome, up_to, requests, seconds; by rising bounds."""
    return rows(db, "SELECT outcome, up_to, requests, seconds FROM request_counters ORDER BY up_to, outcome")


def folder_counters(db: Database) -> list[Row]:
    """Return what was done of each folder: folder ('' for none), analyzed, seconds, usd, last_at."""
    return rows(db, "SELECT folder, analyzed, seconds, usd, last_at FROM folder_counters ORDER BY folder")
