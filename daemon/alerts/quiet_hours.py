"""Quiet hours: from when to when a destination is left in peace, in its own time zone. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from daemon.config.times import moment
from daemon.models import QuietHours


def quiet_period(hours: QuietHours | None, now: datetime) -> tuple[datetime, datetime] | None:
    """Return start and end (UTC) of the quiet hours that `now` lies in, or None when it lies in none.

    When the clocks are set back, an hour comes twice: quiet hours begin at the first of two such times and
    end at the second. When they are set forward, a time that is skipped counts as that much later.
    """
    if hours is None:
        return None
    today = now.astimezone(hours.zone).date()
    for day in (today - timedelta(days=1), today):
        last = day if hours.start < hours.end else day + timedelta(days=1)
        begin = moment(day, hours.start, hours.zone)
        end = max(moment(last, hours.end, hours.zone), moment(last, hours.end, hours.zone, fold=1))
        if begin <= now < end:
            return begin, end
    return None


def quiet_until(hours: QuietHours | None, severity: str, now: datetime) -> datetime | None:
    """Return when a message of this severity may be delivered, None for at once."""
    period = None if severity == "critical" else quiet_period(hours, now)
    return period[1] if period else None
