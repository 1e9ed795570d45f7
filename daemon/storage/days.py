"""SQL functions that tell days and weeks by the clocks of a time zone."""

from __future__ import annotations

from datetime import date, tzinfo
from functools import lru_cache

from daemon.models import from_iso
from daemon.storage.connection import Database


def learn_days(db: Database, zone: tzinfo) -> None:
    """Teach this connection `local_day(time)`, such as 2026-03-29, and `local_week(time)`: 2026-W13."""

    # A row is often asked for its day more than once.
    @lru_cache(maxsize=1)
    def day_of(at: str) -> date:
        moment = from_iso(at)
        try:
            return moment.astimezone(zone).date()
        except OverflowError:
            # A file's name may say that it is from the first day of the year 1.
            return moment.date()

    db.conn.create_function("local_day", 1, lambda at: day_of(at).isoformat(), deterministic=True)
    db.conn.create_function("local_week", 1, lambda at: week_of(day_of(at)), deterministic=True)


def week_of(day: date) -> str:
    """The ISO week of a day, which begins on Monday."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"
