"""Operations alerts about what lasts (a folder gone or silent, alerts that wait) and about failed recordings.

Each trouble is told once when it has lasted long enough, and once when it is over, restarts included.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlite_utils import Database

from daemon.config.models import Alerts, Config
from daemon.models import Target, from_iso, shown_path
from daemon.periodic.operations_text import (
    LASTS,
    failed_message,
    over_message,
    paused_message,
    paused_title,
    trouble_message,
)
from daemon.storage.database import transaction
from daemon.storage.operations import (
    Key,
    Notice,
    begin_notice,
    delivered_since,
    end_notice,
    failures_told,
    failures_told_at,
    folder_arrivals,
    notice_told,
    notices,
    untold_failures,
    waiting_alerts,
    waiting_targets,
)
from daemon.storage.outbox import add_operations_alert, times_told
from daemon.storage.pauses import Pause, pauses

logger = logging.getLogger(__name__)

GONE_FOR = timedelta(seconds=15)
"""A share that is mounted again within this time is not worth a message."""
LOOKED_FOR = timedelta(seconds=60)
"""What came while nobody looked is noticed within this time after a start or a return, and then settles."""

STUCK_AFTER = timedelta(hours=1)
FAILURES_EVERY = timedelta(minutes=10)
FAILURES_TOGETHER = timedelta(minutes=1)
"""So long the first failure waits for others: what breaks one recording often breaks the next as well."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that is wrong now, told once it lasted for `hold`; never to `not_to`, which it is about."""

    hold: timedelta
    detail: str
    not_to: str | None = None


def operations_targets(alerts: Alerts, targets: Iterable[Target]) -> list[tuple[str, int]]:
    """Who hears that the service itself is in trouble, as (destination, target index)."""
    return [
        (target.destination, target.index) for target in targets if target.destination in alerts.operations
    ]


def tell_failures(db: Database, config: Config, targets: Sequence[Target], now: datetime) -> bool:
    """Store the message about recordings that failed since the last one, at most one in FAILURES_EVERY."""
    if not _may_tell_failures(db, now):
        return False
    with transaction(db):
        # Read again: a person may have put some back in the meantime.
        failed = untold_failures(db)
        if not failed:
            return False
        title, body = failed_message(failed)
        audience = operations_targets(config.alerts, targets)
        told = add_operations_alert(db, audience, title, body, "warning", now)
        failures_told(db, max(row["id"] for row in failed), now)
    return bool(told)


def _may_tell_failures(db: Database, now: datetime) -> bool:
    untold = untold_failures(db)
    if not untold or timedelta(0) <= now - from_iso(untold[0]["failed_at"]) < FAILURES_TOGETHER:
        return False
    told_at = failures_told_at(db)
    return told_at is None or not timedelta(0) <= now - from_iso(told_at) < FAILURES_EVERY


def tell_pauses(db: Database, config: Config, targets: Sequence[Target], now: datetime) -> bool:
    """Store the message about a pause that lasts and was not told when it began, because it does so often."""
    audience = operations_targets(config.alerts, targets)
    if not audience or not any(_is_untold(db, pause, now) for pause in pauses(db)):
        return False
    told = False
    with transaction(db):
        # Read again: a worker may have ended one in the meantime.
        for pause in pauses(db):
            if _is_untold(db, pause, now):
                title, body = paused_message(pause.cause, pause.reason, pause.probe_seconds)
                told |= bool(add_operations_alert(db, audience, title, body, "critical", now))
    return told


def _is_untold(db: Database, pause: Pause, now: datetime) -> bool:
    since = from_iso(pause.since)
    return now - since >= LASTS and not times_told(db, paused_title(pause.cause), since)


def tell_troubles(db: Database, config: Config, targets: Sequence[Target], now: datetime) -> bool:
    """Store what is to be said about troubles that began or ended; True when there is something."""
    known = notices(db)
    found = troubles(db, config, targets, known, now)
    if (
        not any(_begins(each, known.get(key), now) for key, each in found.items())
        and found.keys() == known.keys()
    ):
        return False
    told = False
    with transaction(db):
        for key, trouble in found.items():
            told |= _begun(db, key, trouble, known.get(key), config, targets, now)
        for key in known.keys() - found.keys():
            told |= _ended(db, key, known[key], config, targets, now)
    return told


def troubles(
    db: Database, config: Config, targets: Sequence[Target], known: dict[Key, Notice], now: datetime
) -> dict[Key, Trouble]:
    """Everything that is wrong at this moment."""
    return (
        _folder_troubles(db, config, known, now)
        | _outbox_troubles(db, targets, now)
        | _orphans(db, targets, now)
    )


def _folder_troubles(
    db: Database, config: Config, known: dict[Key, Notice], now: datetime
) -> dict[Key, Trouble]:
    found: dict[Key, Trouble] = {}
    rows = folder_arrivals(db)
    for folder in config.watch:
        name = shown_path(str(folder.path))
        is_there, last = rows.get(name, (True, None))
        if not is_there:
            found["folder", name] = Trouble(GONE_FOR, "")
        if folder.silent_after is None:
            continue
        # A folder that is gone is silent for another reason; it is not over either.
        silent = (
            is_there and last is not None and now - from_iso(last) >= timedelta(seconds=folder.silent_after)
        )
        if silent or (not is_there and ("silent", name) in known):
            hold = LOOKED_FOR + timedelta(seconds=folder.settle)
            found["silent", name] = Trouble(hold, last or "")
    return found


def _outbox_troubles(db: Database, targets: Sequence[Target], now: datetime) -> dict[Key, Trouble]:
    found: dict[Key, Trouble] = {}
    for target in targets:
        waiting = waiting_alerts(db, target.destination, target.index)
        if waiting["oldest"] is not None and now - from_iso(waiting["oldest"]) >= STUCK_AFTER:
            error = f": {waiting['error']}" if waiting["error"] else ""
            detail = f"{waiting['count']}{error}"
            found["outbox", _subject(target)] = Trouble(timedelta(0), detail, target.destination)
    return found


def _orphans(db: Database, targets: Sequence[Target], now: datetime) -> dict[Key, Trouble]:
    """Alerts for destinations that were renamed or taken out: nobody sends them, and nobody would know."""
    known = {(target.destination, target.index) for target in targets}
    counts: Counter[str] = Counter()
    for row in waiting_targets(db):
        if (row["destination"], row["target"]) not in known and now - from_iso(row["oldest"]) >= STUCK_AFTER:
            counts[row["destination"]] += row["count"]
    return {("orphans", name): Trouble(timedelta(0), str(count)) for name, count in counts.items()}


def _begins(trouble: Trouble, notice: Notice | None, now: datetime) -> bool:
    if notice is None:
        return True
    return notice.told_at is None and now - from_iso(notice.since) >= trouble.hold


def _begun(
    db: Database,
    key: Key,
    trouble: Trouble,
    notice: Notice | None,
    config: Config,
    targets: Sequence[Target],
    now: datetime,
) -> bool:
    if notice is None:
        begin_notice(db, key, now)
    if (notice is None and trouble.hold) or (notice is not None and not _begins(trouble, notice, now)):
        return False
    title, body = trouble_message(*key, trouble.detail)
    notice_told(db, key, now)
    audience = [each for each in operations_targets(config.alerts, targets) if each[0] != trouble.not_to]
    logger.warning("trouble cause=%s subject=%r operations_told=%d", *key, len(audience))
    return bool(add_operations_alert(db, audience, title, body, "warning", now))


def _ended(
    db: Database, key: Key, notice: Notice, config: Config, targets: Sequence[Target], now: datetime
) -> bool:
    end_notice(db, key)
    cause, subject = key
    if notice.told_at is None or not _is_configured(key, config, targets):
        return False
    audience = operations_targets(config.alerts, targets)
    was_delivered = True
    if cause == "outbox":
        target = next(each for each in targets if _subject(each) == subject)
        audience = [each for each in audience if each[0] != target.destination]
        was_delivered = delivered_since(db, target.destination, target.index, notice.since)
    title, body = over_message(cause, subject, from_iso(notice.since), now, was_delivered=was_delivered)
    logger.info("trouble over cause=%s subject=%r operations_told=%d", cause, subject, len(audience))
    return bool(add_operations_alert(db, audience, title, body, "info", now))


def _is_configured(key: Key, config: Config, targets: Sequence[Target]) -> bool:
    cause, subject = key
    if cause == "orphans":
        return True
    if cause == "outbox":
        return subject in map(_subject, targets)
    folders = [folder for folder in config.watch if shown_path(str(folder.path)) == subject]
    return any(cause == "folder" or folder.silent_after is not None for folder in folders)


def _subject(target: Target) -> str:
    return f"{target.destination}, URL {target.index + 1}" if target.index else target.destination
