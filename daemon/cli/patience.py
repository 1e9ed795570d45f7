"""Ask what may never answer, such as a share without its server, without waiting for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable


def within(seconds: float, work: Callable[[], None]) -> bool:
    """Do the work in a thread of its own; False when it has not ended within so many seconds.

    What it raises is raised here. A thread that hangs in the kernel cannot be stopped, only left behind.
    """
    failed: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised again below, in the thread that waits
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        raise failed[0]
    return not thread.is_alive()
