"""Is the folder itself there, and is it still the same one? inotify does not say: a folder that is unmounted,
mounted over or moved away just falls silent.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from daemon.backoff import backoff

CHECK_SECONDS = 5.0
FIRST_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the folder said: `trouble` is None when it can be read.

    `is_new` means that it was not there at the last look or is another one now; `is_other_device` that
    something else is mounted at its path than was before.
    """

    trouble: str | None
    is_new: bool = False
    is_other_device: bool = False
    is_empty: bool = False


class Root:
    """Remembers which folder was at the path, and when to look again."""

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
            # Opening is the only honest test for permission, and for a stale network mount.
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
        """Something says that the folder may be gone."""
        self._next_look = 0.0

    def seconds_until_look(self, now: float) -> float:
        """How long until the folder should be looked at."""
        return max(self._next_look - now, 0.0)
