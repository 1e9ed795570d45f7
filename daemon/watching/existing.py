"""Which files were there before earshot first looked at the folder, and when all of those are known.

They cost money that nobody asked to spend, so that `existing` decides what becomes of them.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from daemon.config.models import WatchFolder
from daemon.intake.arrivals import Kind
from daemon.models import FileStamp
from daemon.storage.folders import FolderRow


class Baseline:
    """What the listings of one folder say of the time before; `row` is how the database has the folder.

    `is_done` says that the database knows that all of those files are known; set it when it does.
    """

    def __init__(self, folder: WatchFolder, row: FolderRow) -> None:
        self._existing = folder.existing
        self._configured_at = row.configured_at
        self.is_done = row.baseline_done
        self._is_open = not row.baseline_done
        self._saw_files = False
        self._unreadable: frozenset[str] = frozenset()
        self._quiet: set[str] = set()

    def reopen(self) -> None:
        """Another file system is mounted now where one was before: its old files are no news."""
        self._is_open = True

    def kind_of(self, found: FileStamp, directory: str) -> Kind:
        """What a file is that the rows do not know, and that a listing of the whole folder found."""
        if not self._concerns(directory) or not self._was_there(found) or self._existing == "analyze":
            return Kind.COMPLETE
        if self._existing == "skip":
            return Kind.LEFT_ALONE
        self._quiet.add(found.path)
        return Kind.QUIET

    def kind_when_complete(self, found: FileStamp) -> Kind:
        """What a file is that is complete now; one that changed since is new."""
        is_quiet = found.path in self._quiet and self._was_there(found)
        return Kind.QUIET if is_quiet else Kind.COMPLETE

    def saw(self, is_recording: Callable[[], bool]) -> None:
        """There are files in the folder, known ones perhaps; `is_recording` says whether any counts."""
        if not self.is_done and not self._saw_files:
            self._saw_files = is_recording()

    def forget(self, path: str) -> None:
        """The file is stored, or gone."""
        self._quiet.discard(path)

    def clear(self) -> None:
        """The folder is gone."""
        self._quiet.clear()

    def listed(self, unreadable: frozenset[str]) -> None:
        """The whole folder was listed but for these directories."""
        # What is in them now was there before, whenever they become readable.
        self._unreadable = unreadable if self._is_open else self._unreadable & unreadable
        self._is_open = False

    @property
    def is_finished(self) -> bool:
        """True when all files that were there before are known.

        Not while the folder never had a file: it may be the empty place where a share is mounted later.
        """
        return self._saw_files and not self._is_open and not self._quiet and not self._unreadable

    def _concerns(self, directory: str) -> bool:
        return self._is_open or any(
            directory == below or directory.startswith(below + "/") for below in self._unreadable
        )

    def _was_there(self, found: FileStamp) -> bool:
        """By the time of its last change as the kernel kept it: copies keep old modification times."""
        elapsed = self._configured_at - datetime(1970, 1, 1, tzinfo=UTC)
        seconds = elapsed.days * 86400 + elapsed.seconds
        return found.ctime_ns <= seconds * 1_000_000_000 + elapsed.microseconds * 1000
