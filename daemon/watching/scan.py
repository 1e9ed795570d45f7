"""Looking at files: one of them, or all below a directory. Follows no links, reads no content.

The walk hands over at most SCAN_CHUNK files at a time, so its memory does not grow with a directory.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from daemon.models import FileStamp

logger = logging.getLogger(__name__)

SCAN_CHUNK = 500

Chunk = tuple[str, list[FileStamp]]


def stamp(path: str) -> FileStamp | None:
    """What lstat says of the regular file at `path`; None when there is none (any more)."""
    try:
        return _stamp(path, os.lstat(path))
    except OSError:
        return None


def fresh_stamp(path: str) -> FileStamp | None:
    """Like `stamp`, but through an open file: on NFS and CIFS that asks the server, not the client's cache.

    None also while the server refuses because somebody has the file open for himself alone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        return stamp(path)
    except OSError:
        return None
    try:
        return _stamp(path, os.fstat(descriptor))
    except OSError:
        return None
    finally:
        os.close(descriptor)


class Walker:
    """Walks one folder, again and again; remembers which directories it could not read, to say so once.

    `directories` counts those that the latest walk of the whole folder has read.
    """

    def __init__(
        self,
        root: str,
        *,
        recursive: bool,
        is_recording: Callable[[str], bool],
        is_ignored: Callable[[str], bool],
    ) -> None:
        self.root = root
        self.directories = 0
        self._recursive = recursive
        self._is_recording = is_recording
        self._is_ignored = is_ignored
        self._unreadable: set[str] = set()

    def walk(self, start: str | None = None) -> Iterator[Chunk]:
        """Every file with a recording's name below `start` (default: the folder), by directory, in chunks.

        What vanishes meanwhile is left out; a directory that cannot be read is logged, the others go on.
        """
        waiting = [self.root if start is None else start]
        visited: set[tuple[int, int]] = set()
        read = 0
        while waiting:
            directory = waiting.pop()
            try:
                # The folder itself may be a link.
                status = Path(directory).stat(follow_symlinks=directory == self.root)
                # A bind mount can show a directory twice, or below itself.
                if (status.st_dev, status.st_ino) in visited or not stat.S_ISDIR(status.st_mode):
                    continue
                visited.add((status.st_dev, status.st_ino))
                yield from self._list(directory, waiting)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._say_unreadable(directory, error)
            else:
                self._unreadable.discard(directory)
                read += 1
        if start is None:
            self.directories = read

    def _list(self, directory: str, waiting: list[str]) -> Iterator[Chunk]:
        directory = directory.rstrip("/")
        prefix = directory + "/"
        above = len(self.root.rstrip("/")) + 1
        files: list[FileStamp] = []
        with closing(os.scandir(prefix)) as entries:
            for entry in entries:
                path = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if self._recursive and not self._is_ignored(entry.name):
                        waiting.append(path)
                elif self._is_recording(path[above:]) and (found := _entry_stamp(path, entry)):
                    files.append(found)
                    if len(files) == SCAN_CHUNK:
                        yield directory, files
                        files = []
        if files:
            yield directory, files

    def _say_unreadable(self, directory: str, error: OSError) -> None:
        if directory not in self._unreadable:
            self._unreadable.add(directory)
            logger.warning("directory unreadable path=%r error=%s", directory, error.strerror)


def _entry_stamp(path: str, entry: os.DirEntry[str]) -> FileStamp | None:
    try:
        # The kind is known from the listing: FIFOs, sockets and links cost no lstat.
        return (
            _stamp(path, entry.stat(follow_symlinks=False)) if entry.is_file(follow_symlinks=False) else None
        )
    except OSError:
        return None


def _stamp(path: str, status: os.stat_result) -> FileStamp | None:
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileStamp(
        path=path,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        inode=status.st_ino,
        device=status.st_dev,
        blocks=status.st_blocks,
    )
