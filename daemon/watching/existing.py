"""Tell which files were there before earshot first looked at a folder, and when all of those are known.

They would cost money that nobody asked to spend: `existing` in the configuration says what becomes of them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from daemon.models import FileStamp
from daemon.storage.folders import FolderRow


class Baseline:
    """What the listings of one folder say of the time before; `row` is how the database has the folder.

    `is_done` says that the database knows that all of those files are known; set it when it does.
    """

    def __init__(self, row: FolderRow) -> None:
        self.is_done = row.baseline_done
        elapsed = row.configured_at - datetime(1970, 1, 1, tzinfo=UTC)
        seconds = elapsed.days * 86400 + elapsed.seconds
        self._configured_ns = seconds * 1_000_000_000 + elapsed.microseconds * 1000
        self._is_open = not row.baseline_done
        self._saw_files = False
        self._unreadable: frozenset[str] = frozenset()

    def reopen(self) -> None:
        """Begin anew: another file system is mounted now where one was before, and its files are no news."""
        self._is_open = True

    def is_old(self, found: FileStamp, directory: str) -> bool:
        """Return whether a file that the rows do not know, found by a listing of all, was there before."""
        return self._concerns(directory) and self._was_there(found)

    def saw(self, is_recording: Callable[[], bool]) -> None:
        """Note that there are files, known ones perhaps; `is_recording` says whether any counts."""
        if not self.is_done and not self._saw_files:
            self._saw_files = is_recording()

    def listed(self, unreadable: frozenset[str]) -> None:
        """Note that the whole folder was listed but for these directories."""
        # Whatever is found in them once they can be read was there before, too.
        self._unreadable = unreadable if self._is_open else self._unreadable & unreadable
        self._is_open = False

    @property
    def is_listed(self) -> bool:
        """True when all files that were there before have been seen.

        Not while the folder never had a file: it may be the empty place where a share is mounted later.
        """
        return self._saw_files and not self._is_open and not self._unreadable

    def _concerns(self, directory: str) -> bool:
        return self._is_open or any(
            directory == below or directory.startswith(below + "/") for below in self._unreadable
        )

    def _was_there(self, found: FileStamp) -> bool:
        """Tell by the time of the last change that the kernel keeps: copies have old modification times."""
        return found.ctime_ns <= self._configured_ns
