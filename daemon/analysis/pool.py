"""Threads that work on one job after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

IDLE_SECONDS = 10.0
"""A thread without work ends after so long."""

Job = TypeVar("Job")


class Pool(Generic[Job]):
    """As many threads as there are jobs at once. Each calls `work` with the jobs that it is to do.

    One that hangs keeps its job and nothing else: for the next job another thread begins.
    """

    def __init__(self, work: Callable[[Iterator[Job]], None], name: str) -> None:
        self._work = work
        self._name = name
        self._threads: list[threading.Thread] = []
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._idle = 0
        self._is_closed = False
        self._lock = threading.Lock()

    def add(self, job: Job) -> None:
        """Have a job done. Raises RuntimeError when the system allows no more threads."""
        with self._lock:
            if self._idle:
                self._idle -= 1
            else:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        self._jobs.put(job)

    def close(self, seconds: float) -> None:
        """End each thread once it has no job, and wait `seconds` at most for that."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, 0
        for _ in range(idle):
            self._jobs.put(None)
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        self._work(self._coming())

    def _coming(self) -> Iterator[Job]:
        while (job := self._next()) is not None:
            yield job
            with self._lock:
                if self._is_closed:
                    return
                self._idle += 1

    def _next(self) -> Job | None:
        try:
            return self._jobs.get(timeout=IDLE_SECONDS)
        except Empty:
            with self._lock:
                if self._idle:
                    self._idle -= 1
                    return None
        # A job was given to this thread in the very moment.
        return self._jobs.get()
