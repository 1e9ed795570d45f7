"""Times of day and time zones as people write them in the configuration."""

from __future__ import annotations

import difflib
import os
import re
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

from daemon.config.units import parse_duration

_AGO = re.compile(r"\d+(\.\d+)?(ms|s|m|h|d)")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")
_CLOCK_HELP = 'is not a time of day; write it in quotes, such as "08:00" or "17:30"'
_QUIET_HELP = 'are not two times of day; write them in quotes, such as "22:00-07:00"'
_LOCAL_ZONE = Path("/etc/localtime")


def parse_clock(value: object) -> time:
    """The time of day from `"08:00"`. Raises ValueError saying what to write."""
    found = _CLOCK.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError(_CLOCK_HELP)
    return time(int(found[1]), int(found[2]))


def parse_date(value: object) -> date:
    """The day from `2026-01-31`. Raises ValueError saying what to write."""
    # Not from a number: 20260131 would be a count of days or seconds.
    with suppress(ValueError):
        if isinstance(value, date) and not isinstance(value, datetime):
            return value
        if isinstance(value, str):
            return date.fromisoformat(value)
    raise ValueError("must be a date, such as 2026-01-31")


def parse_quiet_hours(value: object) -> tuple[time, time]:
    """Start and end from `"22:00-07:00"`. Raises ValueError saying what to write."""
    start, dash, end = value.partition("-") if isinstance(value, str) else ("", "", "")
    try:
        hours = parse_clock(start), parse_clock(end)
    except ValueError:
        raise ValueError(_QUIET_HELP) from None
    if not dash or hours[0] == hours[1]:
        raise ValueError("must start and end at different times; leave the key out for no quiet hours")
    return hours


def known_timezone(name: str) -> str:
    """Returns the name; ValueError if IANA has no such zone."""
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        near = difflib.get_close_matches(name, available_timezones(), n=1)
        hint = f"did you mean {near[0]}?" if near else "write one such as Europe/Berlin or UTC"
        raise ValueError(f"is no time zone that this system knows; {hint}") from None
    return name


def zone_of(*names: str | None) -> tzinfo:
    """The first time zone named, else the system's."""
    name = next(filter(None, names), None) or os.environ.get("TZ", "").removeprefix(":")
    with suppress(LookupError, ValueError, OSError):
        if name:
            return ZoneInfo(name)
    # The zone, not just the offset of now: quiet hours must follow the change to summer time.
    with suppress(ValueError, OSError), _LOCAL_ZONE.open("rb") as file:
        return ZoneInfo.from_file(file, key="localtime")
    return UTC


def moment(day: date, clock: time, zone: tzinfo, *, fold: int = 0) -> datetime:
    """This time of this day in UTC; with `fold` 1 the second of two."""
    return datetime.combine(day, clock, tzinfo=zone).replace(fold=fold).astimezone(UTC)


def moment_meant(text: str, now: datetime, zone: tzinfo | None) -> datetime:
    """The moment that `24h` (before now) or an ISO date or time means, which is in `zone` (None: the
    system's) if it names none.

    Raises ValueError or OverflowError for anything else.
    """
    if _AGO.fullmatch(text):
        return now - timedelta(seconds=parse_duration(text))
    given = datetime.fromisoformat(text)
    return given if given.tzinfo else given.replace(tzinfo=zone)


def period(every: str, now: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """Start and end, in UTC, of the current `hour`, `day` or `month` by the clocks of `zone`."""
    local = now.astimezone(zone)
    if every == "hour":
        start = now - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return start.astimezone(UTC), start.astimezone(UTC) + timedelta(hours=1)
    first = local.date() if every == "day" else local.date().replace(day=1)
    after = first + timedelta(days=1) if every == "day" else (first + timedelta(days=31)).replace(day=1)
    return moment(first, time(0), zone), moment(after, time(0), zone)


def cooldown_group(value: str) -> str:
    """ValueError if neither `folder` nor `metadata.KEY`."""
    if value != "folder" and not value.removeprefix("metadata.").strip():
        raise ValueError("needs a name after the dot; write folder or metadata.KEY, such as metadata.agent")
    if value != "folder" and not value.startswith("metadata."):
        raise ValueError("must be folder or metadata.KEY, such as metadata.agent")
    return value
