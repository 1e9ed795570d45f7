"""Lists of addresses that were dropped: which were read, and the recordings that their addresses became.

`known_lists` reads; everything else changes rows and is called inside a transaction.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from daemon.models import FileStamp
from daemon.storage.database import rows
from daemon.storage.recordings import Stamp, signed_number, split_path, stored_time


@dataclass(frozen=True, slots=True)
class KnownList:
    """A list that was read; `sha256` is None for one that was too large to be read."""

    path: str
    size_bytes: int
    mtime_ns: int
    inode: int
    sha256: str | None

    @property
    def stamp(self) -> Stamp:
        """How it looked when it was read."""
        return self.size_bytes, self.mtime_ns, self.inode


def known_lists(db: Database, directory: str, names: Iterable[str]) -> dict[str, KnownList]:
    """Which of these names in `directory` are lists that were read, by name."""
    wanted = [os.fsencode(name) for name in names]
    if not wanted:
        return {}
    marks = ",".join("?" * len(wanted))
    found = rows(
        db,
        f"SELECT * FROM lists WHERE directory = ? AND name IN ({marks})",  # noqa: S608 - marks only
        (os.fsencode(directory), *wanted),
    )
    return {os.fsdecode(row["name"]): _known(row) for row in found}


def lists_with_content(db: Database, folder: str, sha256: str) -> list[KnownList]:
    """The lists of this folder that were read with these bytes."""
    found = rows(db, "SELECT * FROM lists WHERE sha256 = ? AND folder = ?", (sha256, folder))
    return [_known(row) for row in found]


def remember_list(db: Database, folder: str, stamp: FileStamp, sha256: str | None) -> None:
    """The list, as it looks now, was read."""
    db.execute(
        "INSERT OR REPLACE INTO lists (directory, name, folder, inode, size_bytes, mtime_ns, sha256)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *map(os.fsencode, split_path(stamp.path)),
            folder,
            signed_number(stamp.inode),
            stamp.size_bytes,
            stored_time(stamp.mtime_ns),
            sha256,
        ),
    )


def forget_list(db: Database, path: str) -> None:
    """There is no list at this path any more."""
    db.execute(
        "DELETE FROM lists WHERE directory = ? AND name = ?", tuple(map(os.fsencode, split_path(path)))
    )


def has_recording_of(db: Database, folder: str, url: str) -> bool:
    """Whether an address became a recording of this folder before."""
    found = rows(
        db,
        "SELECT 1 FROM recordings WHERE is_url = 1 AND source = ? AND folder = ? LIMIT 1",
        (os.fsencode(url), folder),
    )
    return bool(found)


def _known(row: dict[str, Any]) -> KnownList:
    return KnownList(
        path=os.fsdecode(row["directory"] + b"/" + row["name"]),
        size_bytes=row["size_bytes"],
        mtime_ns=row["mtime_ns"],
        inode=row["inode"],
        sha256=row["sha256"],
    )
