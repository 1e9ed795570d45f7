"""Keep in the rows whether a watched folder is there: away, back, or without an answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime

from daemon.config.models import WatchFolder
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.folders import folder_available, folder_unavailable
from daemon.watching.events import Events, EventsFactory, Hint
from daemon.watching.guard import Guard
from daemon.watching.mounts import settle_seconds
from daemon.watching.source import Condition, Source

logger = logging.getLogger(__name__)

STALL_SECONDS = 10.0
"""A file system that has not answered for so long hangs: no single question takes that long."""


class Presence:
    """One folder, which may be missing, vanish, hang and come back at any time.

    `source` is how it is watched; what asks its file system does so within `asking()`. `tell_stall` and
    `is_away` are for any thread, the rest for the folder's own.
    """

    def __init__(
        self,
        folder: WatchFolder,
        put: Callable[[Hint], None],
        *,
        events: EventsFactory = Events,
        guard: Guard | None = None,
    ) -> None:
        self.source = Source(folder, put, events=events, guard=guard)
        self._folder = folder
        self._is_available: bool | None = None
        self._trouble: str | None = None
        """Why it is away, as the rows say it."""
        self._is_stalled = False
        self._is_started = False
        self._asked_at: float | None = None

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Note for `tell_stall` that what is done inside waits for an answer of the file system."""
        self._asked_at = time.monotonic()
        try:
            yield
        finally:
            self._asked_at = None

    @property
    def is_away(self) -> bool:
        """True while the folder is missing, cannot be read, or does not answer."""
        return self._is_available is False or self._is_stalled

    def tend(self, db: Database, now: float, now_utc: datetime) -> Condition:
        """Look whether the folder is there and watched, and write it into the rows when that has changed."""
        with self.asking():
            condition = self.source.tend(now)
        if self._is_stalled:
            logger.warning("folder answers again folder=%s", self._folder.name)
            self._is_stalled, self._is_available = False, None
        if condition == Condition.MISSING:
            self._lose(db)
            return condition
        # Kept until it is stored: the database may be locked right now.
        self._is_started |= condition == Condition.STARTED
        if self._is_available and not self._is_started:
            return Condition.WATCHED
        method = self.source.method
        settle = settle_seconds(self._folder, method)
        with transaction(db):
            folder_available(db, self._folder.name, method.method, method.reason, settle, now_utc)
        is_started, self._is_started, self._is_available = self._is_started, False, True
        return Condition.STARTED if is_started else Condition.WATCHED

    def tell_stall(self, open_db: Callable[[], Database], after_seconds: float) -> bool:
        """Write once to log and rows that the file system does not answer, if that is so; return whether.

        For another thread: the folder's own is then stuck in the kernel.
        """
        asked_at = self._asked_at
        if self._is_stalled or asked_at is None or time.monotonic() - asked_at < after_seconds:
            return False
        with closing(open_db()) as db, transaction(db):
            folder_unavailable(db, self._folder.name, "the file system does not answer")
        logger.warning("folder does not answer, the other folders go on folder=%s", self._folder.name)
        self._is_stalled = True
        return True

    def _lose(self, db: Database) -> None:
        trouble = self.source.trouble or "not there"
        if self._is_available is False and trouble == self._trouble:
            return
        # A service that finds another one at its start ends; it does not wait.
        event = "folder unavailable" if self.source.rival else "folder unavailable, waiting for it"
        logger.warning("%s folder=%s error=%s", event, self._folder.name, trouble)
        with transaction(db):
            folder_unavailable(db, self._folder.name, trouble)
        self._is_available, self._trouble = False, trouble
