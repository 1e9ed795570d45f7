"""The loops of the service: each looks at what there is to do, again and again, in a thread of its own.

A loop must not die or hang unseen: each shows a heartbeat, and `Loops.troubles` looks at all of them.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from daemon.backoff import backoff
from daemon.errors import StoreBusyError, StoreError
from daemon.storage.connection import Database
from daemon.storage.database import open_database

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
"""How long a loop waits when the database is locked or its disk is full."""

TOLD_EVERY_SECONDS = 60.0
"""How often the log says so while that lasts."""

LONGEST_RETRY_SECONDS = 60.0
"""How long it waits at most after an unexpected error."""

STUCK_END_SECONDS = 3.0
"""How long `end` waits for a loop that may hang: its work can be cut off at any point."""

HAND_OVER_SECONDS = 50.0
"""How long a loop waits for the one that it replaces. One message to a slow destination may take nearly that
long; a share that does not answer may take for ever, and must not stop the new loop."""

PATIENCE_SECONDS = 120.0
"""How long a loop may go without a sign of life, where nothing in it waits for a file system."""

LOOK_SECONDS = 1.0

Step = Callable[[Database], float]
"""Do what is due, and return the seconds until the next look (0: at once). An error loses nothing: the next
look finds the same work again."""


class Wakeable(Protocol):
    """How a loop waits between two looks. A watched folder is one too: its hints end the wait."""

    def wake(self) -> None:
        """End the present wait, or else the next one; from any thread."""

    def wait(self, seconds: float) -> None:
        """Return after so many seconds, or when `wake` is called."""


class Alarm:
    """The plain Wakeable: an Event that is cleared after each wait.

    Between two waits are `rest_seconds` at least: for a loop that is woken by each recording, and would find
    nothing new most of the time where many come.
    """

    def __init__(self, *, rest_seconds: float = 0.0) -> None:
        self._event = threading.Event()
        self._rest_seconds = rest_seconds
        self._looked_at = -math.inf

    def wake(self) -> None:
        """End the present wait, or else the next one; from any thread."""
        # Most calls come while it is on its way to look already, and need no lock.
        if not self._event.is_set():
            self._event.set()

    def wait(self, seconds: float) -> None:
        """Return after so many seconds, or when `wake` is called."""
        self._event.wait(seconds)
        if (left := self._looked_at + self._rest_seconds - time.monotonic()) > 0:
            time.sleep(left)
        self._looked_at = time.monotonic()
        # A `wake` before this line is served by the next look; a later one ends the next wait.
        self._event.clear()


@dataclass(slots=True)
class Loop:
    """A running loop: its thread, when it last showed life, and how many seconds may pass between two signs.

    One with infinite patience may be stuck in the kernel, so `end` does not wait long for it.
    """

    name: str
    thread: threading.Thread
    wake: Callable[[], None]
    patience: float
    beaten_at: float = field(default_factory=time.monotonic)

    def beat(self) -> None:
        """Show that the loop moves."""
        self.beaten_at = time.monotonic()

    def trouble(self) -> str | None:
        """Return what is wrong, or None."""
        if not self.thread.is_alive():
            return "ended"
        if time.monotonic() - self.beaten_at > self.patience:
            return f"has not moved for {self.patience:.0f} s"
        return None


class Loops:
    """The loops of one configuration, started together and ended together.

    `retry_seconds` is how long a loop waits after an error, at first.
    """

    def __init__(self, *, retry_seconds: float = RETRY_SECONDS) -> None:
        self.stop = threading.Event()
        self._finishing = threading.Event()
        self._retry_seconds = retry_seconds
        self._loops: list[Loop] = []
        self._before: dict[str, threading.Thread] = {}

    def take_over(self, before: Loops) -> None:
        """Ask the loops of `before` to end; a loop started from now on waits for the one of the same name.

        Two threads must never do the same work, but each loop waits only for its own predecessor.
        """
        before.end(0.0)
        self._before = {loop.name: loop.thread for loop in before._loops}

    def start(
        self, name: str, step: Step, *, database: Path, wake: Wakeable, patience: float = PATIENCE_SECONDS
    ) -> None:
        """Call `step(db)` again and again in a thread of its own, which has its own connection.

        It goes on until `end`, whatever happens; only an unusable database ends it earlier.
        """

        def run() -> None:
            if before is not None:
                _wait_for(before, loop.beat)
            self._run(loop, step, database, wake.wait)

        before = self._before.get(name)
        loop = Loop(name, threading.Thread(target=run, name=name, daemon=True), wake.wake, patience)
        self._loops.append(loop)
        loop.thread.start()

    def troubles(self) -> list[str]:
        """Name the loops that ended or hang; empty while all is well."""
        return [f"{loop.name} {trouble}" for loop in self._loops if (trouble := loop.trouble())]

    def wake(self) -> None:
        """Let every loop look now at what there is to do."""
        for loop in self._loops:
            loop.wake()

    def finish(self, seconds: float) -> None:
        """Let every loop do what is due and then end; wait for that, `seconds` at most."""
        self._finishing.set()
        self._wait_for_all(seconds)

    def end(self, seconds: float) -> None:
        """Ask every loop to end and wait for that, `seconds` at most."""
        self.stop.set()
        self._wait_for_all(seconds)

    def _wait_for_all(self, seconds: float) -> None:
        self.wake()
        started = time.monotonic()
        for loop in self._loops:
            limit = seconds if loop.patience < math.inf else min(seconds, STUCK_END_SECONDS)
            while loop.thread.is_alive() and (left := started + limit - time.monotonic()) > 0:
                # Never long: Python handles a signal that comes just before a wait only after it.
                loop.thread.join(min(left, LOOK_SECONDS / 4))

    def _run(self, loop: Loop, step: Step, database: Path, wait: Callable[[float], None]) -> None:
        db: Database | None = None
        failures, told_at = 0, -math.inf
        with ExitStack() as stack:
            while not self.stop.is_set():
                loop.beat()
                # Read this before the step: what is stored before `finish` is called is done.
                is_last = self._finishing.is_set()
                try:
                    db = db or stack.enter_context(closing(open_database(database)))
                    seconds = step(db)
                    failures, told_at = 0, -math.inf
                except StoreBusyError as error:
                    if time.monotonic() >= told_at + TOLD_EVERY_SECONDS:
                        logger.error("database not usable, trying again loop=%s error=%s", loop.name, error)
                        told_at = time.monotonic()
                    seconds = self._retry_seconds
                except StoreError as error:
                    logger.critical("loop ended loop=%s error=%s", loop.name, error)
                    return
                except Exception:
                    logger.exception("loop interrupted, trying again loop=%s", loop.name)
                    seconds = backoff(failures, first=self._retry_seconds, longest=LONGEST_RETRY_SECONDS)
                    failures += 1
                if seconds > 0 and is_last:
                    return
                if seconds > 0 and not self.stop.is_set():
                    wait(seconds)


def _wait_for(before: threading.Thread, beat: Callable[[], None]) -> None:
    """Return when the thread before this one has ended, or after HAND_OVER_SECONDS.

    Waits even when this loop is to end: the next one waits only for this one.
    """
    deadline = time.monotonic() + HAND_OVER_SECONDS
    while before.is_alive() and (left := deadline - time.monotonic()) > 0:
        beat()
        before.join(min(left, LOOK_SECONDS))
    beat()
