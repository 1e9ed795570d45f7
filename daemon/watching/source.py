"""Keep one folder watched: by the kernel's events while it gives them, else by polling.

Watches anew after the folder was gone, a thread died, events were lost or a limit was reached.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from pathlib import Path

from daemon.backoff import backoff
from daemon.config.models import WatchFolder
from daemon.watching.events import Events, EventsFactory, Hint
from daemon.watching.guard import Guard
from daemon.watching.mounts import WatchMethod, watch_method

logger = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
"""How often to look whether the folder itself is still there."""

FIRST_RETRY_SECONDS = 1.0
FIRST_REPAIR_SECONDS = 1.0
LONGEST_REPAIR_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the folder itself said: `trouble` is None when it can be read.

    `is_new` means that it was not there at the last look or is another one now; `is_other_device` that
    something else is mounted at its path than was before.
    """

    trouble: str | None
    is_new: bool = False
    is_other_device: bool = False
    is_empty: bool = False


class Root:
    """Remembers which folder was at the path, and when to look again.

    inotify does not say that a folder was unmounted, mounted over or moved away: it just falls silent.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.trouble: str | None = None
        self._identity: tuple[int, int] | None = None
        self._device: int | None = None
        self._next_look = 0.0
        self._failures = 0

    def look(self, now: float) -> Look:
        """Look at the folder now."""
        try:
            status = Path(self.path).stat()
            if not stat.S_ISDIR(status.st_mode):
                raise NotADirectoryError(0, "not a directory")
            # Only opening it tells whether that is permitted, and whether a network mount still works.
            with os.scandir(self.path) as entries:
                is_empty = next(entries, None) is None
        except OSError as error:
            self.trouble = error.strerror or str(error)
            self._identity = None
            self._next_look = now + backoff(self._failures, first=FIRST_RETRY_SECONDS, longest=CHECK_SECONDS)
            self._failures += 1
            return Look(self.trouble)
        identity = (status.st_dev, status.st_ino)
        found = Look(
            None,
            is_new=identity != self._identity,
            is_other_device=self._device not in (None, status.st_dev),
            is_empty=is_empty,
        )
        self.trouble, self._identity, self._device = None, identity, status.st_dev
        self._next_look = now + CHECK_SECONDS
        self._failures = 0
        return found

    def look_soon(self) -> None:
        """Make the next look due now: an event said that the folder may be gone."""
        self._next_look = 0.0

    def seconds_until_look(self, now: float) -> float:
        """Return the seconds until the folder should be looked at."""
        return max(self._next_look - now, 0.0)


class Condition(Enum):
    """How the folder is, as `tend` found it."""

    WATCHED = auto()
    STARTED = auto()
    """Watched from now on: what happened before is unknown, list it in full."""
    MISSING = auto()


class Source:
    """One folder, from its first `tend` to `close`; `method` says how it is watched.

    Nothing looks at the folder before: it may be on a share that hangs.
    """

    def __init__(
        self,
        folder: WatchFolder,
        put: Callable[[Hint], None],
        *,
        events: EventsFactory = Events,
        guard: Guard | None = None,
    ) -> None:
        self.path = str(folder.path.absolute())
        self.method = WatchMethod("poll", "not looked at yet", self.path, ())
        self.is_new = False
        """True when the latest start found a folder that was not watched before, not one to watch anew."""
        self.is_other_device = False
        """True when the latest start found something else mounted at the path than before."""
        self.rival: str | None = None
        """Who watches the folder instead of this process, in words; None while nobody does."""
        self._folder = folder
        self._put = put
        self._guard = guard
        self._make_events = events
        self._root = Root(self.path)
        self._events: Events | None = None
        self._is_started = False
        self._repair_at: float | None = None
        self._repairs = 0
        self._refusal: str | None = None
        self._is_short = False
        self._mounted_at = ""
        self._unmounted: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why the folder cannot be watched; None when it can."""
        return self._root.trouble or self._unmounted or self.rival

    @property
    def watches(self) -> int | None:
        """How many directories the kernel watches; None while the folder is polled."""
        return self._events.watched_directories if self._events else None

    def tend(self, now: float) -> Condition:
        """Look whether the folder is there, and see that it is watched; return how it is."""
        if self._events and not self._events.is_alive:
            logger.warning("folder events ended folder=%s", self.path)
            self.close()
            self.look_soon()
            self.repair(now)
        is_new = False
        if self._root.seconds_until_look(now) == 0:
            look = self._root.look(now)
            is_new, self.is_other_device = look.is_new, look.is_other_device
            self._unmounted = self._why_unmounted(look)
            self.rival = self._held_by(self._root.trouble or self._unmounted)
        if self.trouble is not None:
            self.close()
            self._is_started = False
            return Condition.MISSING
        if is_new:
            self._refusal, self._is_short = None, False
        if is_new or not self._is_started or (self._repair_at is not None and now >= self._repair_at):
            self.is_new = is_new or not self._is_started
            self._start()
            return Condition.STARTED
        return Condition.WATCHED

    def look_soon(self) -> None:
        """Look at the folder itself at the next `tend`: an event said that it may be gone."""
        self._root.look_soon()

    def repair(self, now: float) -> None:
        """Start watching anew soon, and later each time that it is needed again."""
        if self._repair_at is None:
            self._repair_at = now + backoff(
                self._repairs, first=FIRST_REPAIR_SECONDS, longest=LONGEST_REPAIR_SECONDS
            )
            self._repairs += 1

    def check(self, now: float, directories: int) -> None:
        """Start watching anew where a listing of so many directories shows that it has to be.

        That is when the mounts have changed, or not all directories are watched. When the kernel's limit
        leaves some unwatched even after a second start, the folder is polled.
        """
        if watch_method(self._folder).mounts != self.method.mounts:
            self.repair(now)
        watched = self.watches if self._folder.recursive else None
        if watched is None or watched >= directories:
            self._is_short = False
            if self._repair_at is None:
                self._repairs = 0
            return
        if self._is_short:
            self._refusal = (
                f"{directories} directories need an inotify watch each, the kernel gave {watched};"
                " raise the sysctl fs.inotify.max_user_watches"
            )
        self._is_short = True
        self.repair(now)

    def seconds_until_due(self, now: float) -> float:
        """Return the seconds until `tend` has something to do."""
        look = self._root.seconds_until_look(now)
        if self._repair_at is None or self.trouble is not None:
            return look
        return max(min(look, self._repair_at - now), 0.0)

    def close(self) -> None:
        """Stop the threads."""
        if self._events:
            self._events.close()
            self._events = None

    def _why_unmounted(self, look: Look) -> str | None:
        """Say why an empty folder counts as missing: something was mounted there before."""
        if not look.is_empty or len(_mount_point(watch_method(self._folder))) >= len(self._mounted_at):
            return None
        return f"empty, and nothing is mounted at {self._mounted_at} any more"

    def _held_by(self, trouble: str | None) -> str | None:
        """Hold the folder against other services, if it is there; say who holds it instead."""
        if self._guard is None:
            return None
        if trouble is not None or not _may_be_held(watch_method(self._folder)):
            self._guard.release(self.path)
            return None
        watcher = self._guard.hold(self.path)
        if watcher is None:
            return None
        return (
            f"{watcher} holds it, as another earshot does that watches it; end one of the two: "
            "both would pay for each recording"
        )

    def _start(self) -> None:
        self.close()
        self._repair_at = None
        self.method = watch_method(self._folder)
        self._mounted_at = _mount_point(self.method)
        if self.method.method == "events" and self._refusal is None:
            try:
                self._events = self._make_events(self.path, recursive=self._folder.recursive, put=self._put)
            except (OSError, RuntimeError) as error:
                self._refusal = _refusal(error)
        if self.method.method == "events" and self._refusal is not None:
            logger.warning("folder polled instead of watched folder=%s reason=%s", self.path, self._refusal)
            self.method = replace(self.method, method="poll", reason=self._refusal)
        if not self._is_started:
            logger.info(
                "folder watched folder=%s method=%s reason=%s",
                self.path,
                self.method.method,
                self.method.reason,
            )
        self._is_started = True


def _may_be_held(method: WatchMethod) -> bool:
    """Whether an open folder is in nobody's way: what is mounted there could not be unmounted any more."""
    return not method.mounts or not (method.mounts[0].is_remote or method.mounts[0].point == method.root)


def _mount_point(method: WatchMethod) -> str:
    """Return where the file system that holds the folder is mounted; empty where the kernel does not say."""
    return method.mounts[0].point if method.mounts else ""


def _refusal(error: OSError | RuntimeError) -> str:
    """Say why the kernel gave no events, and what to change."""
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.ENOSPC:
        return "no inotify watches left; raise the sysctl fs.inotify.max_user_watches"
    if code == errno.EMFILE:
        return (
            "no inotify instances or open files left; raise the sysctl fs.inotify.max_user_instances,"
            " or LimitNOFILE"
        )
    return f"no events: {error}"
