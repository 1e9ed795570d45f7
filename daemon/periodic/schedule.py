"""What falls due by the clock alone: digests, and what operations have to hear of.

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

from daemon.config.models import Config
from daemon.errors import StoreBusyError
from daemon.models import Target
from daemon.periodic.digest import send_digest
from daemon.periodic.operations import tell_failures, tell_pauses, tell_troubles
from daemon.storage.database import open_database
from daemon.storage.operations import begin_anew

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0


def run_schedule(
    db_path: Path,
    config: Config,
    targets: Sequence[Target],
    *,
    end_bursts: Callable[[Database, datetime], bool],
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
                told = end_bursts(db, now)
                if step(db, config, targets, now) or told:
                    on_alerts()
            except StoreBusyError as error:
                logger.warning("summaries and notices have to wait error=%s", error)
            except Exception:
                # The outer edge of the loop: recordings and alerts must go on without a digest.
                logger.exception("summaries and notices interrupted")
            if not stop.is_set():
                wake.wait(LOOK_SECONDS)


def step(db: Database, config: Config, targets: Sequence[Target], now: datetime) -> bool:
    """Do everything that is due; True when there are new rows in the outbox."""
    done = [
        send_digest(db, config, targets, now),
        tell_failures(db, config, targets, now),
        tell_troubles(db, config, targets, now),
        tell_pauses(db, config, targets, now),
    ]
    return any(done)
