"""List all files below a directory, following no links and reading no content.

The walk hands over at most SCAN_CHUNK names at a time, so that its memory does not grow with a directory, and
asks for nothing but names and kinds.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from daemon.files import stamp_of_status
from daemon.models import FileStamp

logger = logging.getLogger(__name__)

SCAN_CHUNK = 500

Chunk = tuple[str, list[os.DirEntry[str]]]
"""A directory, without a slash at its end, and regular files in it."""


def entry_stamp(directory: str, entry: os.DirEntry[str]) -> FileStamp | None:
    """Return the stamp of a file from a listing of `directory`; None when there is no such file any more."""
    try:
        return stamp_of_status(f"{directory}/{entry.name}", entry.stat(follow_symlinks=False))
    except OSError:
        return None


class Walker:
    """Walks one folder, again and again; logs once of each directory that it cannot be read.

    `directories` counts those that the latest walk of the whole folder has read, `unreadable` are those
    that it could not read. `pass_over` is told of each path that is neither a regular file nor entered, and
    whether it is a directory.
    """

    def __init__(
        self,
        root: str,
        *,
        recursive: bool,
        is_ignored: Callable[[str], bool],
        pass_over: Callable[[str, bool], None] = lambda _path, _is_directory: None,
    ) -> None:
        self.root = root
        self.directories = 0
        self.unreadable: frozenset[str] = frozenset()
        self._recursive = recursive
        self._is_ignored = is_ignored
        self._pass_over = pass_over

    def walk(self, start: str | None = None) -> Iterator[Chunk]:
        """Yield every regular file below `start` (default: the folder), by directory, in chunks.

        What vanishes meanwhile is left out; a directory that cannot be read is logged, the others go on.
        """
        waiting = [self.root if start is None else start]
        visited: set[tuple[int, int]] = set()
        unreadable: set[str] = set()
        read = 0
        while waiting:
            directory = waiting.pop()
            try:
                # Followed for the folder itself only, which may be a link.
                status = Path(directory).stat(follow_symlinks=directory == self.root)
                # A bind mount can show a directory twice, or below itself.
                if (status.st_dev, status.st_ino) in visited or not stat.S_ISDIR(status.st_mode):
                    continue
                visited.add((status.st_dev, status.st_ino))
                yield from self._list(directory.rstrip("/"), waiting)
            except FileNotFoundError:
                continue
            except OSError as error:
                unreadable.add(directory)
                if directory not in self.unreadable:
                    logger.warning("directory unreadable path=%s error=%s", directory, error.strerror)
            else:
                read += 1
        if start is None:
            self.directories, self.unreadable = read, frozenset(unreadable)
        else:
            self.unreadable |= unreadable

    def _list(self, directory: str, waiting: list[str]) -> Iterator[Chunk]:
        files: list[os.DirEntry[str]] = []
        with closing(os.scandir(directory + "/")) as entries:
            for entry in entries:
                try:
                    # Most file systems tell the kind with the name: then this costs no lstat.
                    is_file = entry.is_file(follow_symlinks=False)
                    is_directory = not is_file and entry.is_dir(follow_symlinks=False)
                except OSError:
                    # Where they do not, one file that cannot be looked at must not hide the others.
                    continue
                if is_file:
                    files.append(entry)
                    if len(files) == SCAN_CHUNK:
                        yield directory, files
                        files = []
                elif is_directory:
                    self._enter(f"{directory}/{entry.name}", entry.name, waiting)
                else:
                    self._pass_over(f"{directory}/{entry.name}", False)
        if files:
            yield directory, files

    def _enter(self, path: str, name: str, waiting: list[str]) -> None:
        if self._is_ignored(name):
            self._pass_over(path, True)
        elif self._recursive:
            waiting.append(path)
