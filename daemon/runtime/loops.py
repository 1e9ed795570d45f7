"""Threads that must not die or hang unseen: each shows a heartbeat, and one place looks at all of them."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)

STUCK_END_SECONDS = 3.0
"""How long the end waits for a loop that may hang: whatever such a loop does can be cut off anywhere."""

HAND_OVER_SECONDS = 50.0
"""Longer than one message to a slow destination may take. What hangs for longer, as a share that is gone for
good may, must not keep its successor from working."""

LOOK_SECONDS = 1.0


@dataclass(slots=True)
class Loop:
    """A thread and when it last showed life; `patience` is how many seconds may pass without a sign.

    With endless patience it may be stuck in the kernel: then it is not waited for long at the end either.
    """

    name: str
    thread: threading.Thread
    patience: float
    beaten_at: float = field(default_factory=time.monotonic)

    def beat(self) -> None:
        """Show that the loop moves."""
        self.beaten_at = time.monotonic()

    def trouble(self) -> str | None:
        """What is wrong with it, None when nothing is."""
        if not self.thread.is_alive():
            return "ended"
        if time.monotonic() - self.beaten_at > self.patience:
            return f"has not moved for {self.patience:.0f} s"
        return None


class Loops:
    """The running loops of a service, started together and ended together."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self._loops: list[Loop] = []
        self._wakes: list[Callable[[], None]] = []
        self._before: dict[str, threading.Thread] = {}

    def take_over(self, before: Loops) -> None:
        """Ask these to end; a loop that is started from now on works once the one of its name has ended.

        Nobody else waits: two threads must never do the same, and no one has to stand still for another.
        """
        before.end(0.0)
        self._before = {loop.name: loop.thread for loop in before._loops}

    def start(
        self,
        name: str,
        work: Callable[[Callable[[], None]], None],
        *,
        wake: Callable[[], None] = lambda: None,
        patience: float = 120.0,
    ) -> None:
        """Run `work(beat)` in a thread; it must end soon after `stop` is set and `wake()` was called."""
        loop = Loop(name, threading.Thread(name=name, daemon=True), patience)
        loop.thread = threading.Thread(
            target=_guarded, args=(name, work, loop.beat, self._before.get(name)), name=name, daemon=True
        )
        self._loops.append(loop)
        self._wakes.append(wake)
        loop.thread.start()

    def troubles(self) -> list[str]:
        """The loops that ended or hang, in words; empty while all is well."""
        return [f"{loop.name} {trouble}" for loop in self._loops if (trouble := loop.trouble())]

    def wake(self) -> None:
        """Let every loop look now at what there is to do."""
        for wake in self._wakes:
            wake()

    def end(self, seconds: float) -> None:
        """Ask every loop to end and wait for that, `seconds` at most."""
        self.stop.set()
        self.wake()
        started = time.monotonic()
        for loop in self._loops:
            limit = seconds if loop.patience < math.inf else min(seconds, STUCK_END_SECONDS)
            loop.thread.join(max(0.0, started + limit - time.monotonic()))


def _guarded(
    name: str,
    work: Callable[[Callable[[], None]], None],
    beat: Callable[[], None],
    before: threading.Thread | None,
) -> None:
    try:
        if before is not None:
            _wait_for(before, beat)
        work(beat)
    except Exception:
        # The outermost edge of a thread: the service sees that it ended, and ends with an error itself.
        logger.exception("loop failed name=%s", name)


def _wait_for(before: threading.Thread, beat: Callable[[], None]) -> None:
    """Let the thread before this one end, also when this one is to end itself: the next waits for this."""
    deadline = time.monotonic() + HAND_OVER_SECONDS
    while before.is_alive() and (left := deadline - time.monotonic()) > 0:
        beat()
        before.join(min(left, LOOK_SECONDS))
    beat()
