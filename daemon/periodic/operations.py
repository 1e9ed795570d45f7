"""Tell operations of each trouble once when it begins and once when it is over, even across restarts.

Pauses and alerts that were given up become troubles where they happen. The others are looked for here: a
folder that is gone or silent, originals that stay, alerts that wait. Failed recordings are told together;
they are no trouble that could end.
"""

from __future__ import annotations

import logging
import platform
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from daemon.config.models import Config
from daemon.config.times import zone_of
from daemon.models import AlertDraft, Target, from_iso
from daemon.periodic.operations_text import (
    FLAP_WINDOW,
    FLAPS,
    LASTS,
    Message,
    begun_message,
    failed_message,
    over_message,
    place_line,
)
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.health import STUCK_AFTER
from daemon.storage.limits import NEAR, OVER
from daemon.storage.operations import (
    Key,
    Trouble,
    begin_trouble,
    close_trouble,
    delivered_since,
    end_trouble,
    failures_told,
    failures_told_at,
    folder_arrivals,
    forget_troubles,
    recordings_named,
    times_told,
    trouble_told,
    troubles,
    untold_failures,
    waiting_alerts,
    waiting_count,
    waiting_targets,
)
from daemon.storage.originals import stuck_originals
from daemon.storage.outbox import ORPHANED, add_messages, give_up, orphans
from daemon.storage.sidecars import stuck_sidecars
from daemon.storage.views import waiting_since
from daemon.storage.webhooks import stuck_webhooks

logger = logging.getLogger(__name__)

LOOKED_FOR_CAUSES = frozenset(
    {"folder", "silent", "originals", "outbox", "orphans", "given_up", "webhook", "sidecars"}
)
"""The causes that are over when they are not found any more."""

GONE_FOR = timedelta(seconds=15)
"""A share that is mounted again within this time is not worth a message."""
LOOKED_FOR = timedelta(seconds=60)
"""After a start or a return, what came meanwhile is noticed within this time, and then settles."""

ORPHANS_KEPT = timedelta(days=7)
"""Time to give a destination its name back. What waits longer would be sent when it is of no use any more."""

STUCK_TRIES = 13
"""How often an original is tried in an hour, with growing pauses."""
FAILURES_EVERY = timedelta(minutes=10)
FAILURES_TOGETHER = timedelta(minutes=1)
"""How long the first failure waits for others: what breaks one recording often breaks the next."""


def tell_failures(db: Database, config: Config, targets: Sequence[Target], now: datetime) -> bool:
    """Store the message about recordings that failed since the last one, at most one in FAILURES_EVERY."""
    if not _may_tell_failures(db, now):
        return False
    with transaction(db):
        # Read again: a person may have put some back in the meantime.
        failed = untold_failures(db)
        if not failed:
            return False
        told = _send(db, failed_message(failed), _audience(config, targets), now)
        failures_told(db, max(row["id"] for row in failed), now)
    return told


def _may_tell_failures(db: Database, now: datetime) -> bool:
    untold = untold_failures(db)
    if not untold or timedelta(0) <= now - from_iso(untold[0]["failed_at"]) < FAILURES_TOGETHER:
        return False
    told_at = failures_told_at(db)
    return told_at is None or not timedelta(0) <= now - from_iso(told_at) < FAILURES_EVERY


def tell_troubles(db: Database, config: Config, targets: Sequence[Target], now: datetime) -> bool:
    """Store the messages about troubles that began or ended; True when there are any. One transaction."""
    known = troubles(db)
    lasting = {each.key: each for each in known if each.over_at is None}
    found = _found(db, config, targets, lasting, now)
    begun = found.keys() - lasting.keys()
    ended = {key for key in lasting if key[0] in LOOKED_FOR_CAUSES} - found.keys()
    if not begun and not ended and not any(_is_news(db, each, config, now) for each in known):
        return False
    with transaction(db):
        for key in sorted(begun):
            begin_trouble(db, *key, found[key], now)
        for key in ended:
            end_trouble(db, *key, now)
        # Read again: a worker may have begun or ended a pause in the meantime.
        told = [_tell(db, each, config, targets, now) for each in troubles(db)]
        forget_troubles(db, now - FLAP_WINDOW)
    return any(told)


def drop_orphans(db: Database, targets: Sequence[Target], now: datetime) -> None:
    """Give up the messages that have waited for ORPHANS_KEPT for what is not configured any more."""
    known = {(target.destination, target.index) for target in targets}
    for table, ids in orphans(db, known, now - ORPHANS_KEPT).items():
        if ids:
            with transaction(db):
                give_up(db, table, ids, ORPHANED)
            logger.error("%s given up, nothing in the configuration has their name count=%d", table, len(ids))


def has_news(db: Database, config: Config, now: datetime) -> bool:
    """Return whether `tell_troubles` has something to do."""
    return any(_is_news(db, each, config, now) for each in troubles(db))


def _is_news(db: Database, trouble: Trouble, config: Config, now: datetime) -> bool:
    return trouble.over_at is not None or (trouble.told_at is None and _is_due(db, trouble, config, now))


def _is_due(db: Database, trouble: Trouble, config: Config, now: datetime) -> bool:
    """Return whether an untold trouble lasts, or lasted, for long enough."""
    hold = _hold(trouble, config)
    if times_told(db, trouble.key, now - FLAP_WINDOW) >= FLAPS:
        hold = max(hold, LASTS)
    until = now if trouble.over_at is None else from_iso(trouble.over_at)
    # Use abs: a beginning in the future is from before the clock was set back.
    return not hold or abs(until - from_iso(trouble.since)) >= hold


def _hold(trouble: Trouble, config: Config) -> timedelta:
    if trouble.cause == "folder":
        return GONE_FOR
    if trouble.cause == "silent":
        settle = next((each.settle for each in config.watch if each.name == trouble.subject), 0.0)
        return LOOKED_FOR + timedelta(seconds=settle)
    return timedelta(0)


def _tell(db: Database, trouble: Trouble, config: Config, targets: Sequence[Target], now: datetime) -> bool:
    """Store the message that it began, that it is over, or both; True when one is stored."""
    about = next((target for target in targets if _is_about(trouble, target)), None)
    audience = _audience(config, targets, but=about.destination if about else None)
    is_told, sent = trouble.told_at is not None, False
    if not is_told and _is_due(db, trouble, config, now):
        is_last = times_told(db, trouble.key, now - FLAP_WINDOW) == FLAPS - 1
        zone, probe = zone_of(config.timezone), config.analyzer.probe
        message = begun_message(trouble, probe_seconds=probe, is_last=is_last, zone=zone)
        sent = _send(db, replace(message, about=recordings_named(db, trouble)), audience, now)
        trouble_told(db, trouble, now)
        is_told = True
        logger.warning(
            "trouble cause=%s subject=%s operations_told=%d", trouble.cause, trouble.subject, len(audience)
        )
    if trouble.over_at is None:
        return sent
    close_trouble(db, trouble, now)
    if not is_told or not _is_configured(trouble, config, about):
        return sent
    logger.info(
        "trouble over cause=%s subject=%s operations_told=%d", trouble.cause, trouble.subject, len(audience)
    )
    was_delivered = about is not None and _was_delivered(db, about, trouble)
    return _send(db, over_message(trouble, now, was_delivered=was_delivered), audience, now) or sent


def _send(db: Database, message: Message, audience: Collection[tuple[str, int]], now: datetime) -> bool:
    body = f"{message.body}\n\n{place_line(platform.node(), waiting_count(db), waiting_since(db), now)}"
    drafts = [
        AlertDraft(*each, message.severity, message.title, body, about=message.about) for each in audience
    ]
    return bool(add_messages(db, drafts, now))


def _audience(config: Config, targets: Sequence[Target], *, but: str | None = None) -> list[tuple[str, int]]:
    """Return whom to tell, as (destination, target index); never the destination `but`."""
    told = set(config.alerts.operations) - {but}
    return [(target.destination, target.index) for target in targets if target.destination in told]


def _is_about(trouble: Trouble, target: Target) -> bool:
    return trouble.cause in ("outbox", "given_up") and trouble.subject == target.name


def _is_configured(trouble: Trouble, config: Config, about: Target | None) -> bool:
    """Return whether the end is worth telling: the folder or target is still configured.

    The end of a warning about a limit is not: only a new period began.
    """
    if trouble.cause in (NEAR, OVER):
        return False
    if trouble.cause in ("outbox", "given_up"):
        return about is not None
    if trouble.cause not in ("folder", "silent"):
        return True
    folders = [folder for folder in config.watch if folder.name == trouble.subject]
    return any(trouble.cause == "folder" or folder.silent_after is not None for folder in folders)


def _was_delivered(db: Database, target: Target, trouble: Trouble) -> bool:
    return delivered_since(db, target.destination, target.index, trouble.since)


def _found(
    db: Database, config: Config, targets: Sequence[Target], lasting: Mapping[Key, Trouble], now: datetime
) -> dict[Key, str]:
    """Return the present troubles of LOOKED_FOR_CAUSES, each with its detail."""
    return (
        _folder_troubles(db, config, lasting, now)
        | _originals(db)
        | _outbox_troubles(db, targets, now)
        | _orphans(db, targets, now)
        | _given_up(db, targets, lasting)
        | {("webhook", name): error for name, error in stuck_webhooks(db, now - STUCK_AFTER).items()}
    )


def _folder_troubles(
    db: Database, config: Config, lasting: Mapping[Key, Trouble], now: datetime
) -> dict[Key, str]:
    found: dict[Key, str] = {}
    rows = folder_arrivals(db)
    for folder in config.watch:
        name = folder.name
        is_there, last = rows.get(name, (True, None))
        if not is_there:
            found["folder", name] = ""
        if folder.silent_after is None:
            continue
        # A missing folder is not silent by itself; but if it was silent before, that is not over.
        is_silent = (
            is_there and last is not None and now - from_iso(last) >= timedelta(seconds=folder.silent_after)
        )
        if is_silent or (not is_there and ("silent", name) in lasting):
            found["silent", name] = last or ""
    return found


def _originals(db: Database) -> dict[Key, str]:
    """Return folders whose originals could not be moved or deleted, or sidecars written, for an hour."""
    stuck = {"originals": stuck_originals(db, STUCK_TRIES), "sidecars": stuck_sidecars(db, STUCK_TRIES)}
    return {
        (cause, folder): f"{count} in all; the last error: {error}"
        for cause, found in stuck.items()
        for folder, (count, error) in found.items()
    }


def _outbox_troubles(db: Database, targets: Sequence[Target], now: datetime) -> dict[Key, str]:
    found: dict[Key, str] = {}
    for target in targets:
        waiting = waiting_alerts(db, target.destination, target.index)
        if waiting["oldest"] is not None and now - from_iso(waiting["oldest"]) >= STUCK_AFTER:
            error = f"; the last error: {waiting['error']}" if waiting["error"] else ""
            found["outbox", target.name] = f"{waiting['count']} in all{error}"
    return found


def _orphans(db: Database, targets: Sequence[Target], now: datetime) -> dict[Key, str]:
    """Find alerts for destinations that were renamed or removed, which nobody sends."""
    known = {(target.destination, target.index) for target in targets}
    counts: Counter[str] = Counter()
    for row in waiting_targets(db):
        if (row["destination"], row["target"]) not in known and now - from_iso(row["oldest"]) >= STUCK_AFTER:
            counts[row["destination"]] += row["count"]
    return {("orphans", name): f"{count} in all" for name, count in counts.items()}


def _given_up(db: Database, targets: Sequence[Target], lasting: Mapping[Key, Trouble]) -> dict[Key, str]:
    """Return targets with alerts given up and none delivered since."""
    named = {target.name: target for target in targets}
    return {
        key: trouble.detail
        for key, trouble in lasting.items()
        if trouble.cause == "given_up"
        and trouble.subject in named
        and not _was_delivered(db, named[trouble.subject], trouble)
    }
