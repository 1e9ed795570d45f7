"""Does a file system answer? A share whose server is gone holds whoever asks it, for hours if need be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Answers:
    """Since when one thread waits for an answer; the others may look at it at any time."""

    def __init__(self) -> None:
        self._asked_at: float | None = None

    @contextmanager
    def asking(self) -> Iterator[None]:
        """What is done inside asks the file system."""
        self._asked_at = time.monotonic()
        try:
            yield
        finally:
            self._asked_at = None

    def waiting_seconds(self) -> float:
        """For how long the latest question has been without an answer; 0 when there is none."""
        asked_at = self._asked_at
        return 0.0 if asked_at is None else time.monotonic() - asked_at
