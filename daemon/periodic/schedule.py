"""What falls due by the clock alone: the end of bursts, digests, and what operations have to hear of.

One small loop looks every few seconds; everything it does is a transaction that a restart does not repeat.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlite_utils import Database

from daemon.alerts.targets import Target
from daemon.alerts.volume import close_window
from daemon.config.models import Config
from daemon.errors import StoreBusyError
from daemon.models import from_iso
from daemon.periodic.digest import send_digest
from daemon.periodic.operations import tell_failures, tell_pauses, tell_troubles
from daemon.storage.database import open_database, transaction
from daemon.storage.operations import begin_anew
from daemon.storage.volume import burst_windows

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0


def run_schedule(
    db_path: Path,
    config: Config,
    targets: Sequence[Target],
    *,
    stop: threading.Event,
    wake: threading.Event,
    beat: Callable[[], None],
    on_alerts: Callable[[], None] = lambda: None,
) -> None:
    """A thread's work until `stop` is set; `on_alerts` is called when there are new rows in the outbox."""
    with closing(open_database(db_path)) as db:
        begun = False
        while not stop.is_set():
            wake.clear()
            beat()
            now = datetime.now(UTC)
            try:
                if not begun:
                    begin_anew(db, now)
                    begun = True
                if step(db, config, targets, now):
                    on_alerts()
            except StoreBusyError as error:
                logger.warning("summaries and notices have to wait error=%s", error)
            except Exception:
                # The outer edge of the loop: recordings and alerts must go on without a digest.
                logger.exception("summaries and notices interrupted")
            if not stop.is_set():
                wake.wait(_wait(db, now))


def step(db: Database, config: Config, targets: Sequence[Target], now: datetime) -> bool:
    """Do everything that is due; True when there are new rows in the outbox."""
    done = [
        _end_bursts(db, config, targets, now),
        send_digest(db, config, targets, now),
        tell_failures(db, config, targets, now),
        tell_troubles(db, config, targets, now),
        tell_pauses(db, config, targets, now),
    ]
    return any(done)


def _end_bursts(db: Database, config: Config, targets: Sequence[Target], now: datetime) -> bool:
    if not any(window.is_over(now) for window in burst_windows(db)):
        return False
    told = False
    with transaction(db):
        # Read again: a worker may have ended one in the meantime.
        for window in burst_windows(db):
            if window.is_over(now):
                names = (window.destination, window.target)
                target = next((each for each in targets if (each.destination, each.index) == names), None)
                told |= close_window(db, window, target, config.alerts.link, now)
    return told


def _wait(db: Database, now: datetime) -> float:
    try:
        ends = [(from_iso(window.ends_at) - now).total_seconds() for window in burst_windows(db)]
    except StoreBusyError:
        return LOOK_SECONDS
    return min([LOOK_SECONDS, *(max(seconds, 0.05) for seconds in ends)])
