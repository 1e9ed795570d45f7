"""A time limit for calls that may hang for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable


class TimeLimit:
    """Makes calls, at most one at a time; used by one thread."""

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._seconds = seconds
        self._call: threading.Thread | None = None

    def run(self, function: Callable[[], str | None]) -> str | None:
        """Return the function's result, or a text that says it took too long."""
        if self._call is not None and self._call.is_alive():
            return "the last attempt still hangs"
        answers: list[str | None] = []
        # A thread of its own, because a service that answers byte by byte never lets a socket time out.
        # When given up, it must not keep the process from ending either.
        self._call = threading.Thread(target=lambda: answers.append(function()), name=self._name, daemon=True)
        self._call.start()
        self._call.join(self._seconds)
        return answers[0] if answers else f"no answer within {self._seconds:.0f} s"
