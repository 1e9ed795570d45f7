"""What is wrong at this moment with the work of a running service, in words: for monitors and heartbeats.

Times are shown by the clocks of a zone, with None by those of the system.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta, tzinfo

from daemon.errors import StoreBusyError
from daemon.models import from_iso
from daemon.storage.connection import Database
from daemon.storage.database import rows, try_to_write
from daemon.storage.operations import PAGES, waiting_targets
from daemon.storage.views import folder_rows, pause_row, waiting_since
from daemon.storage.webhooks import stuck_webhooks
from daemon.text import shown_time

STUCK_AFTER = timedelta(hours=1)
"""What waits longer than this has more than a passing trouble."""


def unwritable(db: Database) -> list[str]:
    """Return why nothing can be stored now: no pause for this reason can be, either."""
    try:
        try_to_write(db)
    except StoreBusyError as error:
        return [str(error)]
    return []


def paused(db: Database, zone: tzinfo | None = UTC) -> list[str]:
    """Return why the queue is paused, and since when."""
    pause = pause_row(db)
    return [f"paused since {shown_time(pause['since'], zone)}: {pause['reason']}"] if pause else []


def away(db: Database, folders: Collection[str]) -> list[str]:
    """Return which of the folders are not available, and why."""
    known = folder_rows(db)
    return [
        f"{name} not available ({known[name]['reason']})"
        for name in folders
        if name in known and known[name]["reason"] is not None and not known[name]["available"]
    ]


def stuck_alerts(db: Database, now: datetime, zone: tzinfo | None = UTC) -> list[str]:
    """Return the destinations with alerts that wait longer than STUCK_AFTER, or were given up since the
    last delivery."""
    waiting = [
        f"{row['count']} alert{'s' * (row['count'] > 1)} for {row['destination']}"
        f" waiting since {shown_time(row['oldest'], zone)}"
        for row in waiting_targets(db)
        if now - from_iso(row["oldest"]) >= STUCK_AFTER
    ]
    given_up = rows(
        db, "SELECT subject FROM troubles WHERE cause = 'given_up' AND over_at IS NULL ORDER BY 1"
    )
    return waiting + [f"alerts given up for {row['subject']}" for row in given_up]


def old_waiting(db: Database, now: datetime, longest: timedelta, zone: tzinfo | None = UTC) -> list[str]:
    """Return a line when a recording has waited longer than `longest`."""
    oldest = waiting_since(db)
    if oldest is None or now - from_iso(oldest) <= longest:
        return []
    return [f"a recording waiting since {shown_time(oldest, zone)}"]


def undelivered_webhooks(db: Database, now: datetime) -> list[str]:
    """Return the webhooks whose messages have waited longer than STUCK_AFTER, or were given up since the
    last delivery."""
    return [
        f"messages for webhook {name} do not arrive{f' ({error})' if error else ''}"
        for name, error in stuck_webhooks(db, now - STUCK_AFTER).items()
    ]


def unserved_pages(db: Database) -> str | None:
    """Return why the web pages cannot be served; None when they are, or are not wanted."""
    found = rows(db, "SELECT detail FROM troubles WHERE cause = ? AND over_at IS NULL", (PAGES,))
    return str(found[0]["detail"]) if found else None


def troubles_now(
    db: Database, folders: Collection[str], now: datetime, zone: tzinfo | None = UTC
) -> list[str]:
    """Return all that keeps the service from its work, or what it tells from arriving."""
    found = paused(db, zone) + away(db, folders) + stuck_alerts(db, now, zone) + undelivered_webhooks(db, now)
    pages = unserved_pages(db)
    return found + ([] if pages is None else [f"the web pages are not served: {pages}"])
