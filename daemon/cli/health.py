"""How the service and its database are at this moment, for `earshot doctor`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from daemon.cli.database_file import look_at_file
from daemon.cli.output import ago, local_time, plural, shown_zone
from daemon.cli.places import not_running
from daemon.cli.report import Report
from daemon.cli.status import orphaned
from daemon.config.models import Config
from daemon.errors import EarshotError
from daemon.models import from_iso, iso
from daemon.storage import health
from daemon.storage.clock import last_doubt
from daemon.storage.connection import Database
from daemon.storage.folders import watch_rows
from daemon.storage.inspection import newest_moment
from daemon.storage.lock import daemon_status, unready
from daemon.storage.operations import waiting_targets
from daemon.storage.outbox import alert_counts
from daemon.storage.webhooks import orphaned_messages, stuck_webhooks

Row = dict[str, Any]

INOTIFY = Path("/proc/sys/fs/inotify")
NEARLY = 0.8
"""More than this share of a limit is worth a word."""

FUTURE = timedelta(minutes=1)
SELDOM = timedelta(hours=1)
"""A folder that was not listed for this long, and three times as long as it should be, is stuck."""


def look_at_service(report: Report, config: Config, db: Database | None, *, quick: bool, quiet: bool) -> None:
    """Add what there is to say of the service and its database; `quick`: without reading all of it."""
    now = datetime.now(UTC)
    _look_at_process(report, config)
    if db is None:
        return
    looks: Iterable[Callable[[], None]] = (
        partial(_look_at_pages, report, db),
        partial(_look_at_queue, report, config, db, now),
        partial(_look_at_watches, report, config, db, now),
        partial(_look_at_times, report, db, now),
        partial(_look_at_outbox, report, db, now),
        partial(_look_at_webhooks, report, db, now),
        partial(look_at_file, report, config.database, db, now, quick=quick, quiet=quiet),
    )
    for look in looks:
        try:
            look()
        except EarshotError as error:
            report.error(None, error)


def _look_at_process(report: Report, config: Config) -> None:
    service = daemon_status(config.database)
    report.facts["daemon"] = service
    if service["ready"]:
        report.fine.append(f"the service is running (process {service['pid']})")
    elif service["running"]:
        report.warning(None, f"the service is {unready(service)} (process {service['pid']})")
    else:
        report.warning(None, f"the service is {not_running(config.database)}")


def _look_at_pages(report: Report, db: Database) -> None:
    pages = health.unserved_pages(db)
    if pages is not None and report.facts["daemon"]["running"]:
        report.problem(("web", "listen"), f"the web pages are not served: {pages}")


def _look_at_queue(report: Report, config: Config, db: Database, now: datetime) -> None:
    """Say what holds recordings up; a folder of which `check` has said that is left out."""
    said = [problem.problem for problem in report.problems]
    for folder in config.watch:
        if not any(text.startswith(f"{folder.path} ") for text in said):
            for text in health.away(db, [folder.name]):
                report.problem(None, text)
    for text in health.paused(db, shown_zone()):
        report.problem(None, text)
    waiting = health.old_waiting(db, now, health.STUCK_AFTER, shown_zone())
    for text in waiting:
        report.warning(None, f"{text}; `earshot list --state waiting` says why")
    if not waiting:
        report.fine.append("no recording has waited for longer than an hour")


def _look_at_watches(report: Report, config: Config, db: Database, now: datetime) -> None:
    known = watch_rows(db)
    found = {folder.name: known[folder.name] for folder in config.watch if folder.name in known}
    report.facts["folders"] = list(found.values())
    for folder in config.watch:
        if folder.name in found:
            longest = max(SELDOM, timedelta(seconds=3 * folder.rescan))
            _say_watched(report, found[folder.name], now, longest)
    _look_at_limits(report, [row for row in found.values() if row["method"] == "events"])


def _look_at_limits(report: Report, by_events: list[Row]) -> None:
    used = sum(row["watches"] or 0 for row in by_events)
    needed = sum(row["directories"] or 0 for row in by_events)
    watches, instances = _limit("max_user_watches"), _limit("max_user_instances")
    report.facts["inotify"] = {
        "watches_used": used,
        "watches_needed": needed,
        "watches_limit": watches,
        "instances_needed": len(by_events),
        "instances_limit": instances,
    }
    if watches is not None and needed > watches * NEARLY:
        text = f"{needed} directories need a watch each, and a user may have {watches}"
        report.warning(None, f"{text}; raise the sysctl fs.inotify.max_user_watches")
    elif by_events:
        report.fine.append(f"{used} inotify watches used, {needed} needed; a user may have {watches}")
    if instances is not None and len(by_events) > instances * NEARLY:
        text = f"{len(by_events)} folders need an inotify instance each, and a user may have {instances}"
        report.warning(None, f"{text}; raise the sysctl fs.inotify.max_user_instances")


def _say_watched(report: Report, row: Row, now: datetime, longest: timedelta) -> None:
    if row["last_scan_at"] is None:
        return
    facts = "polled"
    if row["method"] == "events":
        event = row["last_event_at"]
        facts = f"last event {ago(event, now)}" if event else "no event yet"
    text = f"{row['path']}: {facts}, last listed {ago(row['last_scan_at'], now)}"
    if report.facts["daemon"]["ready"] and now - from_iso(row["last_scan_at"]) > longest:
        report.warning(None, f"{text}; the log says what keeps it from being listed")
    else:
        report.fine.append(text)


def _limit(name: str) -> int | None:
    with suppress(OSError, ValueError):
        return int((INOTIFY / name).read_text("ascii"))
    return None


def _look_at_times(report: Report, db: Database, now: datetime) -> None:
    """Warn when the clock was set back, when it leapt ahead, and when it may be wrong."""
    newest = newest_moment(db)
    report.facts["newest_row_at"] = newest
    if newest is not None and from_iso(newest) > now + FUTURE:
        text = f"the database has rows of {local_time(newest)}, still to come"
        report.warning(None, f"{text}: the clock was set back, or is wrong")
    found = last_doubt(db)
    report.facts["clock_doubted_since"] = None if found is None else iso(found.since)
    if found is not None:
        before, since, until = (local_time(iso(each)) for each in (found.before, found.since, found.until))
        text = f"the clock went from {before} to {since} at once, so retention deletes nothing for now"
        report.warning(None, f"{text}; if it is right, retention goes on at {until}, else set it")


def _look_at_outbox(report: Report, db: Database, now: datetime) -> None:
    counts, waiting = alert_counts(db), waiting_targets(db)
    oldest = min((row["oldest"] for row in waiting), default=None)
    stuck = health.stuck_alerts(db, now, shown_zone())
    report.facts["outbox"] = {"counts": counts, "oldest_pending_at": oldest, "stuck": stuck}
    for text in stuck:
        report.problem(None, f"{text}; `earshot alerts` says why")
    if not stuck:
        since = f", the oldest of {local_time(oldest)}" if oldest else ""
        report.fine.append(f"{plural(counts['pending'], 'alert')} pending{since}, none stuck")


def _look_at_webhooks(report: Report, db: Database, now: datetime) -> None:
    stuck, orphans = stuck_webhooks(db, now - health.STUCK_AFTER), orphaned_messages(db)
    report.facts["webhooks"] = {"stuck": stuck, "orphaned": orphans}
    for text in health.undelivered_webhooks(db, now):
        report.problem(None, f"{text}; `earshot webhooks` lists them")
    for name, count in orphans.items():
        report.warning(None, orphaned(name, count))
