"""What the database is like as a file: whether it is whole, what takes how much room, how fast it grows.

Nothing here writes.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from daemon.models import from_iso, iso
from daemon.storage.connection import Database
from daemon.storage.database import rows, tuples, value

MONTH = timedelta(days=30)

_MOMENTS = (
    "SELECT max(first_seen_at) FROM recordings",
    "SELECT max(analyzed_at) FROM recordings",
    "SELECT max(created_at) FROM alerts",
    "SELECT max(last_scan_at) FROM folders",
)
"""Times that were the present when they were stored."""


def integrity_faults(db: Database) -> list[str]:
    """Return what SQLite finds wrong with the file of a database; nothing when it is whole."""
    try:
        found = db.conn.execute("PRAGMA integrity_check").fetchall()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        # Too damaged to be checked.
        return [str(error)]
    return [" ".join(text.split()) for (text,) in found if text != "ok"]


def used_bytes(db: Database) -> int:
    """Return the size of the database without its free pages."""
    names = ("page_count", "freelist_count", "page_size")
    pages, free, page_bytes = (value(db, f"PRAGMA {name}") for name in names)
    return int((pages - free) * page_bytes)


def table_bytes(db: Database) -> dict[str, int] | None:
    """Return how many bytes each table takes, with its indexes, the largest first; reads the whole database.

    None where this SQLite cannot tell (it was built without dbstat).
    """
    sql = """
        SELECT CASE WHEN tbl_name LIKE 'recordings_fts_%' THEN 'recordings_fts' ELSE tbl_name END AS owner,
            sum(pgsize) AS bytes
        FROM dbstat('main', 1) JOIN sqlite_master USING (name) GROUP BY owner ORDER BY bytes DESC
        """
    try:
        found = tuples(db, sql)
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return None
    return dict(found)


def table_rows(db: Database) -> dict[str, int]:
    """Return how many rows the tables with data of recordings have, the largest first."""
    tables = ("recordings", "responses", "sentiments", "topics", "intents", "alerts", "requests", "costs")
    counts = {table: int(value(db, f"SELECT count(*) FROM {table}")) for table in tables}  # noqa: S608
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def monthly_growth_bytes(db: Database, now: datetime) -> int | None:
    """Return about how many bytes more the recordings of a month take, going by those of the last 30 days.

    None when there are none, or when there have been recordings for less than a day.
    """
    (found,) = rows(
        db,
        "SELECT count(*) AS n, min(first_seen_at) AS first, count(iif(first_seen_at >= ?, 1, NULL)) AS recent"
        " FROM recordings",
        (iso(now - MONTH),),
    )
    if not found["recent"]:
        return None
    age = min(now - from_iso(found["first"]), MONTH)
    if age < timedelta(days=1):
        return None
    share = float(found["recent"]) / float(found["n"])
    return round(used_bytes(db) * share * (MONTH / age))


def newest_moment(db: Database) -> str | None:
    """Return the latest time that was the present when it was stored; None in an empty database."""
    return max((moment for sql in _MOMENTS if (moment := value(db, sql))), default=None)
