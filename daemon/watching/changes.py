"""Compare a listing with the rows: which of its files are not known, or not as they are now."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

from daemon.models import FileStamp
from daemon.storage.connection import Database
from daemon.storage.recordings import Stamp, stamp_of
from daemon.storage.stamps import known_stamps
from daemon.watching.scan import entry_stamp


def news(
    db: Database,
    directory: str,
    entries: Sequence[os.DirEntry[str]],
    *,
    is_recording: Callable[[str], bool],
    inodes_last: bool = True,
    names_only: bool = False,
    takes_lists: bool = False,
) -> Iterator[tuple[FileStamp, bool]]:
    """Yield the recordings among the files of `directory` that the rows do not have as they are, and for each
    whether its name is known.

    `is_recording` takes a name. Without `inodes_last` another inode alone is no news: network and FUSE
    mounts may give a file another one each time they are mounted. With `names_only` files whose names are
    known are not looked at: on a share each look may be a question to its server. With `takes_lists` lists of
    addresses are news that were not taken before.
    """
    names = (entry.name for entry in entries)
    known = known_stamps(db, directory, names, takes_lists=takes_lists)
    for entry in entries:
        before = known.get(entry.name)
        # Nearly all files are known as they are: only for the others it matters what their names mean.
        if before is not None and (
            (names_only and before[0] is not None) or _is_as(before, entry, inodes_last=inodes_last)
        ):
            continue
        if is_recording(entry.name) and (found := entry_stamp(directory, entry)):
            yield found, before is not None


def _is_as(before: Stamp, entry: os.DirEntry[str], *, inodes_last: bool) -> bool:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError:
        return False
    if (status.st_size, status.st_mtime_ns, status.st_ino) == before:
        return True
    now = stamp_of(status)
    return now == before if inodes_last else now[:2] == before[:2]
