"""Work that is due by the clock alone: digests, and messages to operations.

One small loop looks every few seconds; everything it does is a transaction that a restart does not repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from daemon.config.models import Config
from daemon.models import Target, utc_now
from daemon.periodic.digest import is_digest_due_between, send_digest
from daemon.periodic.operations import drop_orphans, tell_failures, tell_troubles
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.operations import begin_anew, troubles, untold_failures
from daemon.storage.volume import burst_windows

LOOK_SECONDS = 2.0
QUIET_LOOK_SECONDS = 10.0
"""Where nothing is going on that ends by the clock soon; new rows wake the loop."""


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
        return QUIET_LOOK_SECONDS if _is_quiet(db, config, now) else LOOK_SECONDS

    return look


def _is_quiet(db: Database, config: Config, now: datetime) -> bool:
    """Whether nothing lasts or was begun that has an end, and no digest is due before the next look."""
    soon = now + timedelta(seconds=QUIET_LOOK_SECONDS)
    return not (
        troubles(db) or untold_failures(db) or burst_windows(db) or is_digest_due_between(config, now, soon)
    )


def step(db: Database, config: Config, targets: Sequence[Target], now: datetime) -> bool:
    """Do everything that is due; True when there are new rows in the outbox."""
    done = [
        send_digest(db, config, targets, now),
        tell_failures(db, config, targets, now),
        tell_troubles(db, config, targets, now),
    ]
    drop_orphans(db, targets, now)
    return any(done)
