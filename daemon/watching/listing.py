"""Say what is to be listed and when: the whole folder again and again, and directories as they appear in it.

Events may get lost; these listings alone make sure that every file is found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from daemon.storage.recordings import split_path
from daemon.watching.scan import Chunk, Walker

AGAIN_SECONDS = 1.0
"""A directory that appeared is listed twice: what is written into it before it is watched makes no event."""


@dataclass(slots=True)
class Listing:
    """A walk in progress, of the whole folder (`is_full`) or of directories that appeared.

    With `names_only` files whose names are known need not be looked at.
    """

    chunks: Iterator[Chunk]
    is_full: bool
    names_only: bool = False


class Listings:
    """The listing in progress, and what is to be listed after it."""

    def __init__(self, walker: Walker) -> None:
        self._walker = walker
        self._current: Listing | None = None
        self._full_at = 0.0
        self._look_at = 0.0
        self._directories: dict[str, tuple[float, int]] = {}

    def is_idle(self, now: float) -> bool:
        """Return whether nothing is being listed and nothing is due."""
        return self._current is None and not self._directories and now < self._full_at

    def full_by(self, at: float) -> None:
        """List the whole folder at this time, if it is not due sooner."""
        self._full_at = min(self._full_at, at)

    def start_over(self, at: float) -> None:
        """Give up what is being listed, and list the whole folder at this time."""
        self._current = None
        self._full_at = self._look_at = at

    def clear(self) -> None:
        """Give up what is being listed, and forget the directories: the folder is gone."""
        self._current = None
        self._directories.clear()

    def appeared(self, path: str, now: float) -> None:
        """List the directory that appeared at this path, now and once more a little later."""
        self._directories[path] = (now, 2)

    def current(self, now: float, rescan_seconds: float, look_seconds: float) -> Listing | None:
        """Return the listing in progress, else a new one if one is due: the whole folder before directories.

        The whole folder is listed every `rescan_seconds`, and the files known in it are looked at only where
        that was not done within `look_seconds`.
        """
        if self._current is None:
            self._current = self._next(now, rescan_seconds, look_seconds)
        return self._current

    def end(self) -> None:
        """Note that the listing in progress came to its end."""
        self._current = None

    def seconds_until_due(self, now: float) -> float:
        """Return the seconds until there is something to list, 0 while something is being listed."""
        if self._current is not None:
            return 0.0
        return max(min([self._full_at, *(at for at, _ in self._directories.values())]) - now, 0.0)

    def _next(self, now: float, rescan_seconds: float, look_seconds: float) -> Listing | None:
        if now >= self._full_at:
            self._full_at = now + rescan_seconds
            names_only = now < self._look_at
            if not names_only:
                self._look_at = now + look_seconds
            return Listing(self._walker.walk(), is_full=True, names_only=names_only)
        due = {path for path, (at, _) in self._directories.items() if at <= now}
        if not due:
            return None
        for path in due:
            _, looks = self._directories.pop(path)
            if looks > 1:
                self._directories[path] = (now + AGAIN_SECONDS, looks - 1)
        tops = [path for path in due if not any(above in due for above in self._parents(path))]
        return Listing((chunk for path in tops for chunk in self._walker.walk(path)), is_full=False)

    def _parents(self, path: str) -> Iterator[str]:
        while len(path := split_path(path)[0]) > len(self._walker.root):
            yield path
