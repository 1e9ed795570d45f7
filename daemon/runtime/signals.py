"""The signals that the process gets."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import FrameType

from daemon.errors import EXIT_INTERRUPTED


@dataclass(slots=True)
class Signals:
    """Which signals came. The handlers only note them and end a `wait`; the service acts."""

    stop: int = 0
    reload: bool = False
    # Not an Event: a handler that sets it while this same thread holds its lock, in a wait, never returns.
    _came: SimpleQueue[None] = field(default_factory=SimpleQueue)

    def wait(self, seconds: float) -> None:
        """Return when a signal has come since the last wait, else after so many seconds."""
        with suppress(Empty):
            self._came.get(timeout=seconds)

    def install(self) -> None:
        """Take over SIGTERM, SIGINT and SIGHUP, and SIGURG, by which who asks for something ends a wait."""
        on_hangup = self._on_stop if hangup_ends() else self._on_reload
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGHUP, on_hangup)
        signal.signal(signal.SIGURG, lambda *_: self._came.put(None))

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        if self.stop:
            # The second signal ends it at once. The next start repairs what is cut off; see `recover`.
            os._exit(exit_code(number))
        self.stop = number
        self._came.put(None)

    def _on_reload(self, number: int, frame: FrameType | None) -> None:
        self.reload = True
        self._came.put(None)


def hangup_ends() -> bool:
    """Return whether SIGHUP means that the terminal is gone, and not a reload of the configuration.

    True with a controlling terminal, unless the signal was ignored when the process began, as nohup(1) and
    the like do.
    """
    return signal.getsignal(signal.SIGHUP) != signal.SIG_IGN and _has_terminal()


def exit_code(number: int) -> int:
    """Return the exit code of a process that this signal ended."""
    return EXIT_INTERRUPTED if number == signal.SIGINT else 0


def _has_terminal() -> bool:
    with suppress(OSError):
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
        return True
    return False
