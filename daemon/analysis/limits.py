"""The limits of the configuration, and the periods that they count in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo

from daemon.config.models import Config, Limits
from daemon.config.times import period
from daemon.deepgram.request import Request
from daemon.storage.limits import Limit, Periods
from daemon.storage.pauses import EVERYTHING

NAMES = ("cost_per_day", "cost_per_month", "recordings_per_hour", "recordings_per_day")


def limits_of(config: Config, requests: Mapping[str | None, Request]) -> list[Limit]:
    """Return every limit that is set, for all folders together and for each."""
    by_scope = {EVERYTHING: config.limits} | {folder.name: folder.limits for folder in config.watch}
    return [
        Limit(name, scope, most, limits.then == "hold", _assumed(limits, requests))
        for scope, limits in by_scope.items()
        for name in NAMES
        if (most := getattr(limits, name)) is not None
    ]


def periods_of(now: datetime, zone: tzinfo) -> Periods:
    """Return start and end of the hour, day and month in `zone`."""
    found: dict[str, tuple[datetime, datetime]] = {}
    for every in ("hour", "day", "month"):
        start, end = period(every, now, zone)
        found[every] = (start.astimezone(zone), end.astimezone(zone))
    return found


def _assumed(limits: Limits, requests: Mapping[str | None, Request]) -> dict[str | None, float]:
    return {
        folder: request.price.expected_usd(limits.assume, len(request.channels) or 1) or 0.0
        for folder, request in requests.items()
    }
