"""Work that is due by the clock alone: digests, and messages to operations.

One small loop looks every few seconds; everything it does is a transaction that a restart does not repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlite_utils import Database

from daemon.config.models import Config
from daemon.models import Target, utc_now
from daemon.periodic.digest import send_digest
from daemon.periodic.operations import drop_orphans, tell_failures, tell_troubles
from daemon.storage.database import transaction
from daemon.storage.operations import begin_anew

LOOK_SECONDS = 2.0


def schedule(
    config: Config,
    targets: Sequence[Target],
    *,
    end_bursts: Callable[[Database, datetime], bool],
    on_alerts: Callable[[], None] = lambda: None,
    clock: Callable[[], datetime] = utc_now,
) -> Callable[[Database], float]:
    """Return the step of the schedule's loop; calls `on_alerts` after new rows in the outbox."""
    begun = False

    def look(db: Database) -> float:
        nonlocal begun
        now = clock()
        if not begun:
            with transaction(db):
                begin_anew(db, now)
            begun = True
        told = end_bursts(db, now)
        if step(db, config, targets, now) or told:
            on_alerts()
        return LOOK_SECONDS

    return look


def step(db: Database, config: Config, targets: Sequence[Target], now: datetime) -> bool:
    """Do everything that is due; True when there are new rows in the outbox."""
    done = [
        send_digest(db, config, targets, now),
        tell_failures(db, config, targets, now),
        tell_troubles(db, config, targets, now),
    ]
    drop_orphans(db, targets, now)
    return any(done)
