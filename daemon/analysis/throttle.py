"""Limit how many requests are under way at once, and tell whether the service seems to be down.

Some recordings more are got ready meanwhile, so that the next request follows at once where one was answered.

The limit falls at once when the service says 429, and climbs back slowly; it is never above the setting. What
goes on being refused so is asked for more and more seldom.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from daemon.backoff import backoff

FAILURES_UNTIL_DOWN = 5
SUCCESSES_TO_CLIMB = 20
LONGEST_REST_SECONDS = 60.0
"""The longest wait after a 429 that names none."""
MOST_ALONE = 10_000
AHEAD_PER_REQUEST = 0.2
"""Recordings that are got ready, for each request that may be under way: to claim one and to read its file
takes less than a fifth of the time of a request."""
LOOK_SECONDS = 0.25
"""How often who waits for a place looks whether he still may."""
REPLIES_PER_REQUEST = 0.2
"""Replies in hand, for each request that may be under way: above, nothing new is asked. It takes that many
where a reply is stored in a fifth of the time that it is waited for, and no more are lost in a crash."""


class Throttle:
    """Shared by all workers; every method may be called from any thread."""

    def __init__(
        self,
        concurrency: int,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        random_: random.Random | None = None,
    ) -> None:
        self._setting = concurrency
        self._limit = concurrency
        self._entered = 0
        self._asking: set[int] = set()
        self._replied: set[int] = set()
        self._successes = 0
        self._hold_until = 0.0
        self._failures = 0
        self._failed: set[int] = set()
        self._alone: set[int] = set()
        self._refused_in_row = 0
        self._monotonic = monotonic
        self._random = random_ or random.Random()  # noqa: S311 - spreads requests, hides nothing
        self._lock = threading.Lock()
        self._freed = threading.Condition(self._lock)

    @property
    def in_flight(self) -> int:
        """How many recordings are in work: got ready, asked for, or their reply is being stored."""
        return self._entered + len(self._replied)

    @property
    def room(self) -> int:
        """How many recordings more may be in work or got ready."""
        return max(0, self._limit + int(self._limit * AHEAD_PER_REQUEST) - self._entered)

    @property
    def limit(self) -> int:
        """How many requests may be under way now."""
        return self._limit

    def has_place(self, *, ahead: bool = False) -> bool:
        """Whether one more recording may be started right now, or with `ahead` be got ready."""
        is_stored_in_time = len(self._replied) <= max(1, self._limit * REPLIES_PER_REQUEST)
        room = self.room if ahead else self._limit - self._entered
        return room > 0 and is_stored_in_time and self._monotonic() >= self._hold_until

    def enter(self, *, ahead: bool = False) -> bool:
        """Take a place for one recording; False when there is none right now.

        One that was taken `ahead` is for getting ready: before a request, `ask`.
        """
        with self._lock:
            if not self.has_place(ahead=ahead):
                return False
            self._entered += 1
            return True

    def ask(self, recording_id: int, *, is_stopped: Callable[[], bool]) -> bool:
        """Wait until a request for this recording may be under way; True when it may at once.

        What was decided before the wait is to be looked at again after it. It also ends when `is_stopped`.
        """
        with self._freed:
            if self._may_ask(recording_id):
                return True
            while not is_stopped() and not self._may_ask(recording_id):
                self._freed.wait(LOOK_SECONDS)
            return False

    def _may_ask(self, recording_id: int) -> bool:
        if recording_id not in self._asking:
            if len(self._asking) >= self._limit or self._monotonic() < self._hold_until:
                return False
            self._asking.add(recording_id)
        return True

    def replied(self, recording_id: int) -> None:
        """Give the place of a recording to another: the service has done its part, and the rest is ours."""
        with self._lock:
            self._replied.add(recording_id)
            self._free(recording_id)

    def leave(self, recording_id: int | None = None) -> None:
        """Give the place back, unless `replied` did so already; no more is to be done for this recording."""
        with self._lock:
            if recording_id in self._replied:
                self._replied.discard(recording_id)
            else:
                self._free(recording_id)

    def _free(self, recording_id: int | None) -> None:
        self._entered -= 1
        if recording_id in self._asking:
            self._asking.discard(recording_id)
            self._freed.notify()

    def resize(self, concurrency: int) -> None:
        """Take over a new setting. It may be for another service, so a wait that was asked for ends."""
        with self._lock:
            self._hold_until = 0.0
            # A limit that was lowered because of a 429 climbs on from where it is.
            was_lowered = self._limit < self._setting
            self._setting = concurrency
            self._limit = min(self._limit, concurrency) if was_lowered else concurrency

    def answered(self, recording_id: int) -> None:
        """Note that the service gave a proper answer for this recording, whatever it said of it."""
        with self._lock:
            self._failures = 0
            self._refused_in_row = 0
            self._failed.discard(recording_id)
            # The others that failed have done so while the service works.
            self._alone = (
                (self._alone | self._failed) - {recording_id} if len(self._alone) < MOST_ALONE else set()
            )
            self._failed.clear()
            self._successes += 1
            if self._successes >= SUCCESSES_TO_CLIMB and self._limit < self._setting:
                self._successes = 0
                self._limit += 1

    def too_many(self, retry_after: float | None) -> None:
        """Note a 429: halve what is asked at once, and ask nothing for a while.

        For `retry_after` seconds, and at least for a time that doubles with each 429 in a row.
        """
        with self._lock:
            self._failures = 0
            self._failed.clear()
            self._successes = 0
            self._limit = max(1, min(self._limit, max(1, self._entered)) // 2)
            # Requests that were under way together are refused together: that counts once.
            if self._monotonic() >= self._hold_until:
                wait = backoff(
                    self._refused_in_row,
                    first=1.0,
                    longest=LONGEST_REST_SECONDS,
                    spread=0.5,
                    random_=self._random,
                )
                self._refused_in_row += 1
                self._rest(wait)
            self._rest(retry_after)

    def rest(self, seconds: float | None) -> None:
        """Ask nothing for so many seconds, because the service said so."""
        with self._lock:
            self._rest(seconds)

    def _rest(self, seconds: float | None) -> None:
        if seconds:
            self._hold_until = max(self._hold_until, self._monotonic() + seconds)

    def failed(self, recording_id: int) -> tuple[bool, bool]:
        """Note that the service failed this recording; returns (it seems down, it failed several)."""
        with self._lock:
            self._failures += 1
            self._failed.add(recording_id)
            return self._failures >= FAILURES_UNTIL_DOWN, len(self._failed) > 1

    def is_alone(self, recording_id: int) -> bool:
        """Whether this recording failed before and others were answered since: then it is not the service."""
        with self._lock:
            return recording_id in self._alone
