"""Decide when a file is quiet enough to be complete. Pure: it is told what was seen, and when.

A file is complete when it is not empty and nothing about it (size, both times, inode, blocks) changed for
the settle time, measured by our clock. Its own times are never compared with ours: clocks differ, and copies
keep old times.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from daemon.models import FileStamp
from daemon.sightings import FoundBy, Sighting

MAX_PENDING = 50_000
"""Files that should be pending at once at most; while there are more, no further ones are looked for."""

GROWING_LOOK_SECONDS = 1.0
"""How often a file that changed is looked at; it must still be quiet for the whole settle time."""

UNHINTED_LOOK_SECONDS = 0.5
"""With `settle: 0s`, how long a file must stay the same that nobody reported as closed or renamed in."""


class Outcome(Enum):
    """What a look at a pending file said."""

    WAIT = auto()
    COMPLETE = auto()
    EMPTY = auto()


@dataclass(slots=True)
class _Pending:
    stamp: FileStamp
    seen_since: float
    looked_at: float
    quiet_since: float
    empty_since: float | None
    is_closed: bool
    found_by: FoundBy
    is_remote: bool
    due: float
    queued: float


class Settler:
    """The files that are not yet complete, and when to look at each again."""

    def __init__(self, settle_seconds: float, empty_after_seconds: float) -> None:
        self.settle_seconds = settle_seconds
        self._empty_after = empty_after_seconds
        self._pending: dict[str, _Pending] = {}
        self._old: set[str] = set()
        self._looks: list[tuple[float, str]] = []

    @property
    def room(self) -> int:
        """How many further files may be added; those that are not are found again by a later listing."""
        return max(MAX_PENDING - len(self._pending), 0)

    def observe(self, seen: Sighting, now: float) -> None:
        """Note how a file looks now, by a monotonic clock."""
        pending = self._pending.get(seen.stamp.path)
        if pending is None:
            pending = self._added(seen, now)
            self._schedule(pending, self._quiet_until(pending))
        else:
            if seen.found_by == FoundBy.HINT:
                pending.found_by = FoundBy.HINT
            pending.is_remote = seen.is_remote
            self._update(pending, seen.stamp, now, is_closed=seen.is_closed)
        if seen.is_old:
            self._old.add(seen.stamp.path)

    def _added(self, seen: Sighting, now: float) -> _Pending:
        pending = self._pending[seen.stamp.path] = _Pending(
            stamp=seen.stamp,
            seen_since=now,
            looked_at=now,
            quiet_since=now,
            empty_since=now if seen.stamp.size_bytes == 0 else None,
            is_closed=seen.is_closed,
            found_by=seen.found_by,
            is_remote=seen.is_remote,
            due=math.inf,
            queued=math.inf,
        )
        return pending

    def _update(self, pending: _Pending, stamp: FileStamp, now: float, *, is_closed: bool = False) -> None:
        if pending.stamp != stamp:
            if pending.stamp.ctime_ns != stamp.ctime_ns:
                self._old.discard(stamp.path)
            pending.stamp = stamp
            pending.quiet_since = now
            pending.is_closed = is_closed
            if stamp.size_bytes:
                pending.empty_since = None
            elif pending.empty_since is None:
                pending.empty_since = now
            self._schedule(pending, min(self._quiet_until(pending), now + GROWING_LOOK_SECONDS))
        elif is_closed:
            pending.is_closed = True
            self._schedule(pending, self._quiet_until(pending))

    def look(self, stamp: FileStamp, now: float) -> Outcome:
        """Note how a file looks now and say whether it is complete, or was empty for too long.

        The file stays pending until `forget`, so what could not be stored is offered again.
        """
        pending = self._pending[stamp.path]
        self._update(pending, stamp, now)
        pending.looked_at = now
        quiet_until = self._quiet_until(pending)
        if now < quiet_until:
            self._schedule(pending, min(quiet_until, now + GROWING_LOOK_SECONDS))
            return Outcome.WAIT
        # It is due again even if the caller cannot use the outcome now.
        self._schedule(pending, now + UNHINTED_LOOK_SECONDS)
        return Outcome.COMPLETE if stamp.size_bytes else Outcome.EMPTY

    def found_by(self, path: str) -> FoundBy:
        """Return how the pending file was found; HINT for any other path."""
        pending = self._pending.get(path)
        return pending.found_by if pending else FoundBy.HINT

    def is_remote(self, path: str) -> bool:
        """Return whether the pending file is on a network or FUSE mount."""
        pending = self._pending.get(path)
        return pending is not None and pending.is_remote

    def unfinished(self, now: float, after_seconds: float) -> Iterator[tuple[str, float, bool]]:
        """Yield the files that have been pending for so long: path, since how many seconds, whether empty."""
        for path, pending in self._pending.items():
            if (seconds := now - pending.seen_since) >= after_seconds:
                yield path, seconds, pending.empty_since is not None

    def seconds_known(self, path: str, now: float) -> float | None:
        """Return since how many seconds the file is pending; None when it is not."""
        pending = self._pending.get(path)
        return None if pending is None else now - pending.seen_since

    def is_old(self, path: str) -> bool:
        """Return whether the pending file was there before earshot, and has not changed since."""
        return path in self._old

    @property
    def has_old(self) -> bool:
        """True while any file of that kind is pending."""
        return bool(self._old)

    def postpone(self, path: str, now: float, seconds: float | None = None) -> None:
        """Look at the file again after so many seconds; by default soon, because a writer has it open."""
        if pending := self._pending.get(path):
            pause = min(max(self.settle_seconds, 0.1), 0.5) if seconds is None else seconds
            self._schedule(pending, now + pause)

    def forget(self, path: str) -> None:
        """Forget the file: it is stored, or gone."""
        self._pending.pop(path, None)
        self._old.discard(path)
        if not self._pending:
            self._looks.clear()

    def clear(self) -> list[str]:
        """Forget all files, because their folder is gone; return their paths."""
        paths = list(self._pending)
        self._pending.clear()
        self._old.clear()
        self._looks.clear()
        return paths

    def due(self, now: float, limit: int) -> list[str]:
        """Return at most `limit` files to look at now. Each must be looked at, or forgotten."""
        found: list[str] = []
        while self._looks and self._looks[0][0] <= now and len(found) < limit:
            queued, path = heapq.heappop(self._looks)
            pending = self._pending.get(path)
            if pending is None or pending.queued != queued:
                continue
            pending.queued = math.inf
            if pending.due <= now:
                # It is due again soon, should the caller fail before it has looked.
                self._schedule(pending, now + UNHINTED_LOOK_SECONDS)
                found.append(path)
            else:
                self._schedule(pending, pending.due)
        return found

    def next_due(self, now: float) -> float | None:
        """Return the seconds until the next look; None when nothing is pending."""
        return max(self._looks[0][0] - now, 0.0) if self._looks else None

    def is_stuck(
        self, now: float, patience_seconds: float, *, besides: Callable[[str], bool] = lambda _: False
    ) -> bool:
        """Return whether no pending file was complete when it was looked at after `patience_seconds`.

        Paths for which `besides` is true are not waited for.
        """
        return all(
            # An empty file is not looked at before `empty_after`.
            (now if pending.empty_since is not None else pending.looked_at) - pending.seen_since
            > patience_seconds
            or besides(pending.stamp.path)
            for pending in self._pending.values()
        )

    def _quiet_until(self, pending: _Pending) -> float:
        if pending.empty_since is not None:
            return pending.empty_since + self._empty_after
        if self.settle_seconds == 0 and not pending.is_closed:
            return pending.quiet_since + UNHINTED_LOOK_SECONDS
        return pending.quiet_since + self.settle_seconds

    def _schedule(self, pending: _Pending, due: float) -> None:
        pending.due = due
        # If a look is queued already that comes no later, that one is queued anew when it comes up.
        if due < pending.queued:
            pending.queued = due
            heapq.heappush(self._looks, (due, pending.stamp.path))
