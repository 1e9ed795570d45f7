"""What the service is doing: the document of `earshot status --json` and of the page `/api/status`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.config.times import period
from daemon.files import owner_of
from daemon.models import shown_path
from daemon.storage import outbox, views
from daemon.storage.costs import spent
from daemon.storage.health import unserved_pages
from daemon.storage.lock import daemon_status, refused_reload
from daemon.storage.not_taken import REASONS
from daemon.storage.originals import originals_left
from daemon.storage.sidecars import sidecars_left
from daemon.storage.volume import snoozed_rules
from daemon.storage.webhooks import orphaned_messages
from daemon.watching.mounts import watch_method

if TYPE_CHECKING:
    from daemon.config.models import Config, WatchFolder
    from daemon.storage.connection import Database

Row = dict[str, Any]

WORDS = {
    "incomplete": "not complete yet",
    "empty": "empty",
    "ending": "unknown ending",
    "ignored": "ignored name",
    "link": "link or special file",
    "unreadable": "unreadable directory",
    "addresses": "refused address",
    "lists": "list of addresses",
}
"""Why a file is not taken, in words."""


def status_document(db: Database, database: Path, folders: list[Row], zone: tzinfo, now: datetime) -> Row:
    """Return counts, pauses, alerts and the given folders; months are those of `zone`."""
    daemon = daemon_status(database)
    month = period("month", now, zone)
    return {
        "recordings": views.recording_counts(db),
        "alerts": outbox.alert_counts(db),
        "oldest_waiting_at": views.waiting_since(db),
        "paused": views.pause_row(db),
        "pauses": views.pause_rows(db),
        "cost_month_usd": round(spent(db, *month), 6),
        "daemon": daemon,
        "reload_refused": refused_reload(database) if daemon["running"] else None,
        "originals": originals_left(db),
        "sidecars": sidecars_left(db),
        "snoozed": snoozed_rules(db, now),
        "webhooks_orphaned": orphaned_messages(db),
        "pages_not_served": unserved_pages(db),
        "folders": folders,
        "database": shown_path(str(database)),
        "database_owner": owner_of(database),
    }


def watched_rows(db: Database, config: Config) -> list[Row]:
    """Return what is known of each folder of the configuration, and how it is or would be watched."""
    known = views.folder_rows(db)
    return [_folder_row(known, each) for each in config.watch]


def _folder_row(known: Mapping[str, Row], folder: WatchFolder) -> Row:
    found = known.get(folder.name) or _unseen(folder)
    return found if found["method"] else found | {"method": _method(folder)}


def _method(folder: WatchFolder) -> str:
    """Choose by the path alone: an unseen folder may be on a share that hangs."""
    return watch_method(folder, root=str(folder.path.absolute())).method


def _unseen(folder: WatchFolder) -> Row:
    """Return a row for a folder no daemon has seen, with the method that would watch it."""
    return {
        "path": folder.name,
        "method": _method(folder),
        "reason": None,
        "settle_seconds": None,
        "available": False,
        "first_seen_at": None,
        "last_scan_at": None,
        "missed_by_events": 0,
        "left_alone": 0,
        "not_taken": dict.fromkeys(REASONS, 0),
    }


def in_words(counts: Mapping[str, int]) -> str:
    """Return how many are not taken and why: `3 not taken: empty 1, unknown ending 2`; empty for none."""
    found = [f"{words} {counts[reason]}" for reason, words in WORDS.items() if counts.get(reason)]
    return f"{sum(counts.values())} not taken: {', '.join(found)}" if found else ""
