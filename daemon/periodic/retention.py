"""Once a night, remove what the configuration no longer keeps, and sweep up what was deleted.

It works in short transactions with pauses between, so that the queue never waits for it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, tzinfo

from daemon.config.models import Config, Retention
from daemon.config.times import zone_of
from daemon.models import iso, utc_now
from daemon.storage.clock import Doubt, doubt, is_clock_news, last_doubt
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.marks import BATCH, drop_marks
from daemon.storage.operations import CLOCK, begin_trouble, end_trouble
from daemon.storage.purge import is_unswept, sweeping
from daemon.storage.retention import REMOVALS, Removal, Scope
from daemon.text import shown_time

logger = logging.getLogger(__name__)

NIGHT_HOUR = 3
"""The night's work begins at this hour in `timezone`, and at each start."""
LOOK_SECONDS = 30.0
PAUSE_SECONDS = 0.05
"""Pause between two transactions, so that others can write first."""
TRANSACTION_SECONDS = 0.25
"""A transaction should take no longer than this: others wait for it."""
WORK_SECONDS = 0.5
"""How long one step of the loop works."""


def retention(config: Config, *, clock: Callable[[], datetime] = utc_now) -> Callable[[Database], float]:
    """Return the step that removes what is no longer kept."""
    zone = zone_of(config.timezone)
    done: date | None = None
    work: Iterator[object] = iter(())
    is_working = False

    def look(db: Database) -> float:
        nonlocal done, work, is_working
        now = clock()
        night = (now.astimezone(zone) - timedelta(hours=NIGHT_HOUR)).date()
        if not is_working:
            is_told = any(_is_limited(kept) for _, kept in scopes(config))
            is_held = _is_held(db, now, zone, is_told=is_told)
            if night != done and not is_held:
                done, work = night, _night_work(db, config, clock)
            elif is_unswept(db):
                work = sweeping(db, clock())
            else:
                return LOOK_SECONDS
        is_working = _worked_on(work)
        return PAUSE_SECONDS if is_working else LOOK_SECONDS

    return look


def _is_held(db: Database, now: datetime, zone: tzinfo, *, is_told: bool) -> bool:
    """Return whether the clock is in doubt, so that nothing may be deleted by it.

    Operations hear of it if `is_told`, and when it is over.
    """
    if is_clock_news(db, now):
        with transaction(db):
            found = doubt(db, now)
            if found is None:
                end_trouble(db, CLOCK, "", now)
            elif is_told:
                begin_trouble(db, CLOCK, "", _leap(found, zone), now)
        if found and found.since == now:
            logger.warning("retention waits, because the clock may be wrong reason=%s", _leap(found, UTC))
    return last_doubt(db) is not None


def _leap(found: Doubt, zone: tzinfo) -> str:
    days = [shown_time(iso(each), zone) for each in (found.before, found.since, found.until)]
    return f"it went from {days[0]} to {days[1]} at once; if that is right, it is trusted from {days[2]} on"


def _is_limited(kept: Retention) -> bool:
    return any(getattr(kept, key) is not None for key in REMOVALS)


def _worked_on(work: Iterator[object]) -> bool:
    """Work on for WORK_SECONDS; False when all is done."""
    began = time.monotonic()
    until = began + WORK_SECONDS
    for _ in work:
        now = time.monotonic()
        if now >= until:
            return True
        # As long as others had to wait: on most nights most of this finds nothing, in no time.
        time.sleep(min(now - began, PAUSE_SECONDS / 10))
        began = time.monotonic()
    return False


def _night_work(db: Database, config: Config, clock: Callable[[], datetime]) -> Iterator[object]:
    now = clock()
    for scope, kept in scopes(config):
        for key, remove in REMOVALS.items():
            seconds: float | None = getattr(kept, key)
            if seconds is None or (key == "originals" and scope.folder is None):
                continue
            total = 0
            for count in _removing(db, remove, scope, _before(now, seconds), now):
                total += count
                yield None
            if total:
                text = "kept for long enough what=%s folder=%s removed=%d"
                logger.info(text, key, scope.folder or "others", total)
    dropped = BATCH
    while dropped == BATCH:
        with transaction(db):
            dropped = drop_marks(db, [folder.name for folder in config.watch])
        yield None
    if is_unswept(db):
        yield from sweeping(db, now)


def _removing(db: Database, remove: Removal, scope: Scope, before: datetime, now: datetime) -> Iterator[int]:
    """Remove all that is due, and yield how many each transaction did.

    Where one takes long, as on a slow disk, the next does less.
    """
    limit, count = scope.limit, 1
    while count:
        began = time.monotonic()
        with transaction(db):
            count = remove(db, replace(scope, limit=limit), before, now)
        took = time.monotonic() - began
        limit = max(1, limit // 2) if took > TRANSACTION_SECONDS else min(scope.limit, limit * 2)
        yield count


def _before(now: datetime, seconds: float) -> datetime:
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=now.tzinfo)


def scopes(config: Config) -> list[tuple[Scope, Retention]]:
    """Return each folder, and last all that is in none, with how long they keep things."""
    names = [folder.name for folder in config.watch]
    each = [(Scope(folder.name), config.retention_of(folder)) for folder in config.watch]
    return [*each, (Scope(None, names), config.retention)]
