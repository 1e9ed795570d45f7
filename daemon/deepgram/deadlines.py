"""One thread for the deadlines of all requests."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

Late = Callable[[], None]


class Deadlines:
    """Calls each `late` that was set and not lifted in time; its thread begins with the first."""

    def __init__(self) -> None:
        self._due: dict[Late, float] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._next_look = math.inf
        self._is_closed = False

    def set(self, late: Late, seconds: float) -> None:
        """Have `late` called in so many seconds."""
        with self._changed:
            at = self._due[late] = time.monotonic() + seconds
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
                thread.start()
                self._thread = thread
            elif at < self._next_look:
                # Seldom: most are set for later than those that are there already.
                self._changed.notify()

    def lift(self, late: Late) -> None:
        """Do not call this one any more."""
        with self._changed:
            self._due.pop(late, None)

    def close(self) -> None:
        """End the thread once nothing is left to wait for."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def _run(self) -> None:
        while (passed := self._passed()) is not None:
            for late in passed:
                late()

    def _passed(self) -> list[Late] | None:
        """Wait for deadlines to pass, and return them; None when there are none and will be none."""
        with self._changed:
            while True:
                now = time.monotonic()
                passed = [late for late, at in self._due.items() if at <= now]
                for late in passed:
                    del self._due[late]
                if passed:
                    return passed
                if self._is_closed and not self._due:
                    self._thread = None
                    return None
                self._next_look = min(self._due.values(), default=math.inf)
                self._changed.wait(None if self._next_look == math.inf else self._next_look - now)
