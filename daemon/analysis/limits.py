"""The limits of the configuration, and the periods that they count in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo

from daemon.config.models import Config, Limits
from daemon.config.times import period, zone_of
from daemon.deepgram.request import Request
from daemon.storage.connection import Database
from daemon.storage.limits import Limit, Periods, keep_limits
from daemon.storage.pauses import EVERYTHING, LIMIT, pauses

IN_FLIGHT = "what is under way would reach a limit; try again when that is done"
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


def full_scopes(
    db: Database, config: Config, requests: Mapping[str | None, Request], now: datetime
) -> frozenset[str]:
    """Return the scopes that are full, with what is in flight; begins and ends pauses and warnings."""
    return keep_limits(db, limits_of(config, requests), periods_of(now, zone_of(config.timezone)), now)


def limit_reached(
    db: Database,
    config: Config,
    requests: Mapping[str | None, Request],
    folder: str | None,
    now: datetime,
) -> str | None:
    """Return why a limit lets nothing be sent for this folder now; None when none does."""
    full = full_scopes(db, config, requests, now)
    scopes = {EVERYTHING, folder}
    held = [pause.reason for pause in pauses(db) if pause.cause == LIMIT and pause.scope in scopes]
    return held[0] if held else IN_FLIGHT if full & scopes else None


def _assumed(limits: Limits, requests: Mapping[str | None, Request]) -> dict[str | None, float]:
    return {
        folder: request.price.expected_usd(limits.assume, len(request.channels) or 1) or 0.0
        for folder, request in requests.items()
    }
