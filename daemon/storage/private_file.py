"""Make the file of the database for its owner alone, and use none beside it that somebody else put there."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from daemon.errors import StoreError
from daemon.storage.lock import beside_of

COMPANIONS = (".lock", ".reading", "-wal", "-shm", "-journal")
"""Suffixes of the files beside the database: earshot's lock and SQLite's own files."""


def _refuse_planted(path: Path) -> None:
    """Raise StoreError when a file that is opened beside the database was put there by somebody else.

    SQLite follows no link there, but would write transcripts into a file that another user owns.
    """
    owners = {0, os.geteuid(), path.stat().st_uid}
    for suffix in COMPANIONS:
        beside = beside_of(path, suffix)
        try:
            status = beside.lstat()
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(status.st_mode) or status.st_uid not in owners:
            raise StoreError(
                f"{beside}: earshot did not put this beside its database, and writes nothing to it; "
                "remove it, and let nobody else write to the folder"
            )


def create_private(path: Path) -> None:
    """Create the file of the database, or close it to others; raises StoreError where that cannot be."""
    # If a link leads to a missing file, SQLite would create that file readable by everybody.
    path = Path(os.path.realpath(path))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.is_file():
            # Never opened where it exists: closing any descriptor of a file drops all locks that this process
            # holds on it (fcntl(2)), SQLite's own among them.
            _refuse_planted(path)
            _close_to_others(path)
            return
        # Another process may be first. -wal and -shm get the mode of the database.
        with suppress(FileExistsError):
            create_file(path)
        _refuse_planted(path)
    except OSError as error:
        raise StoreError(
            f"{path}: the database cannot be written ({error.strerror}); "
            "set `database` to a place that this user may write to"
        ) from error


def create_file(path: Path) -> None:
    """Create an empty file for the owner alone; raises FileExistsError also for any link."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _close_to_others(path: Path) -> None:
    """Make the file with transcripts readable by its owner alone."""
    if path.stat().st_mode & 0o077:
        with suppress(PermissionError):
            path.chmod(0o600)
