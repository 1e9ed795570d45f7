"""Turn the kernel's events into hints that something may have happened at a path: fast, and never relied on.

watchdog runs the threads. Its handler here only puts a hint on a queue; the folder's own thread decides what
it means.
"""

from __future__ import annotations

import logging
import os
import queue
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.inotify import InotifyObserver

logger = logging.getLogger(__name__)

MAX_HINTS = 50_000
"""Hints that may wait. More are dropped, as the kernel does when its own queue is full."""

_EVENTS: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]
"""Few, because each kind that is asked for fills the kernel's queue: with all, opening a large tree for
watching overflows it."""


class HintKind(Enum):
    """What a hint says of its path."""

    APPEARED = auto()
    CLOSED = auto()
    """Closed by its writer, or renamed into its place: as complete as an event can say."""
    REMOVED = auto()
    DIRECTORY = auto()
    LOST = auto()
    """Events were lost: anything may have happened."""
    WAKE = auto()


@dataclass(frozen=True, slots=True)
class Hint:
    """Something may have happened at `path`."""

    kind: HintKind
    path: str = ""


class Hints:
    """The queue between the kernel's events and the loop that watches a folder; any thread may put."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Hint] = queue.SimpleQueue()
        self._taken: list[Hint] = []

    def put(self, hint: Hint) -> None:
        """Add a hint, without blocking. When too many wait already, it is dropped, and LOST is added once."""
        waiting = self._queue.qsize()
        if waiting < MAX_HINTS:
            self._queue.put(hint)
        elif waiting == MAX_HINTS:
            self._queue.put(Hint(HintKind.LOST))

    def wait(self, seconds: float) -> None:
        """Return when there is a hint, or after `seconds`."""
        try:
            self._taken.append(self._queue.get(timeout=max(seconds, 0.0)))
        except queue.Empty:
            return

    def drain(self) -> list[Hint]:
        """Return every hint that waits, oldest first."""
        hints, self._taken = self._taken, []
        while True:
            try:
                hints.append(self._queue.get_nowait())
            except queue.Empty:
                return hints

    def __bool__(self) -> bool:
        return bool(self._taken) or not self._queue.empty()


class Events:
    """One folder's watchdog observer, from its start to `close`. Replaced, never repaired."""

    def __init__(self, root: str, *, recursive: bool, put: Callable[[Hint], None]) -> None:
        """Start watching. Raises OSError when the kernel refuses: folder missing, limits of inotify."""
        # watchdog logs an overflow, which we handle, and every stop as errors; it warns at great length of
        # a new folder that both an event and a listing found.
        logging.getLogger("watchdog").setLevel(logging.CRITICAL)
        warnings.filterwarnings("ignore", "Callback with id", RuntimeWarning)
        # Only full events say whether a file was renamed in (complete) or created (not complete yet).
        self._observer = InotifyObserver(generate_full_events=True)
        try:
            # The slash makes the kernel follow a folder that is itself a link; links below are not followed.
            self._observer.schedule(
                _Handler(root, put), root.rstrip("/") + "/", recursive=recursive, event_filter=_EVENTS
            )
            self._observer.start()
        except BaseException:
            self._observer.stop()
            raise
        self._take_over_overflow(put)

    @property
    def is_alive(self) -> bool:
        """False when any thread that brings events has ended: after that nothing would come any more."""
        emitters = self._observer.emitters
        reader = getattr(self._observer, "_inotify_fd", None)
        return (
            self._observer.is_alive()
            and bool(emitters)
            and all(emitter.is_alive() for emitter in emitters)
            and (reader is None or reader.is_alive())
        )

    @property
    def watched_directories(self) -> int | None:
        """The number of directories that the kernel watches for us; None where watchdog does not say.

        The only way to notice that one is not watched: watchdog reports no error for those below the root.
        """
        groups = [getattr(emitter, "_inotify", None) for emitter in self._observer.emitters]
        watches = [getattr(group, "_active_callbacks_by_path", None) for group in groups]
        known = [len(found) for found in watches if found is not None]
        return sum(known) if known else None

    def close(self) -> None:
        """Stop the threads; at most a few milliseconds."""
        self._observer.stop()
        if self._observer.is_alive():
            self._observer.join(timeout=5)

    def _take_over_overflow(self, put: Callable[[Hint], None]) -> None:
        # Replaced, because watchdog's own answer to an overflow walks the tree: a large one overflows again.
        for emitter in self._observer.emitters:
            group: Any = getattr(emitter, "_inotify", None)
            if hasattr(group, "on_queue_overflow"):
                group.on_queue_overflow = lambda: put(Hint(HintKind.LOST))


EventsFactory = Callable[..., Events]
"""Makes Events of the arguments that it takes."""


class _Handler(FileSystemEventHandler):
    def __init__(self, root: str, put: Callable[[Hint], None]) -> None:
        self._root = root
        self._put = put

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            for kind, path in _meaning(event):
                self._put(Hint(kind, path.rstrip("/")))
        except Exception:  # noqa: BLE001 - an exception here would end watchdog's thread for good
            self._put(Hint(HintKind.LOST))


def _meaning(event: FileSystemEvent) -> list[tuple[HintKind, str]]:
    source, target = os.fsdecode(event.src_path), os.fsdecode(event.dest_path)
    if isinstance(event, (FileMovedEvent, DirMovedEvent)):
        arrived = HintKind.DIRECTORY if event.is_directory else HintKind.CLOSED
        # One end is empty when the other is outside the folder.
        return [(kind, path) for kind, path in ((HintKind.REMOVED, source), (arrived, target)) if path]
    if isinstance(event, (FileDeletedEvent, DirDeletedEvent)):
        return [(HintKind.REMOVED, source)]
    if event.is_directory:
        return [(HintKind.DIRECTORY, source)]
    return [(HintKind.CLOSED if isinstance(event, FileClosedEvent) else HintKind.APPEARED, source)]
