"""What a listing asks of the rows for every file: the stamps of those that are known."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from daemon.storage.connection import Database
from daemon.storage.database import tuples
from daemon.storage.recordings import NOT_TAKEN, Stamp, has_marks, has_rows
from daemon.storage.stored_paths import raw


def known_stamps(
    db: Database, directory: str, names: Iterable[str], *, takes_lists: bool = False
) -> dict[str, Stamp]:
    """Return the stamps of the known ones among these names in `directory`, lists of addresses included.

    For a few thousand names at most. With `takes_lists`, lists that were not taken count as changed. Every
    listing asks for every file, so this makes as few objects as it can.
    """
    wanted = {raw(name): name for name in names}
    known: dict[str, Stamp] = {
        wanted[name]: (size, mtime, inode)
        for name, size, mtime, inode in _stored_stamps(db, directory, wanted)
        if name in wanted
    }
    unknown = [name for name, shown in wanted.items() if shown not in known]
    if unknown and has_rows(db, "lists"):
        sql = "SELECT name, iif(sha256 = ?, NULL, size_bytes), mtime_ns, inode FROM lists"
        sql += f" WHERE directory = ? AND name IN ({','.join('?' * len(unknown))})"
        news = NOT_TAKEN if takes_lists else None
        found = tuples(db, sql, (news, raw(directory), *unknown))
        known |= {wanted[name]: (size, mtime, inode) for name, size, mtime, inode in found}
    if others := [name for name in unknown if wanted[name] not in known]:
        known |= {wanted[name]: stamp for name, stamp in _marked_stamps(db, directory, others).items()}
    return known


def _stored_stamps(db: Database, directory: str, names: Collection[bytes]) -> list[tuple[Any, ...]]:
    """Return names and stamps of the known files among these, and perhaps of others between them.

    A file that was not found, so that its recording was set aside, counts as changed when it is back.
    """
    sql = """
        SELECT name, iif(EXISTS (
            SELECT 1 FROM recordings INDEXED BY recordings_gone
            WHERE id = files.recording_id AND state = 'skipped' AND error_code = 'gone'
        ), NULL, size_bytes), mtime_ns, inode
        FROM files WHERE directory = ? AND name
        """
    if not names:
        return []
    # From the first to the last: nearly all between them are asked for. Where many others are, by name.
    most = 2 * len(names)
    found = tuples(db, f"{sql} BETWEEN ? AND ? LIMIT ?", (raw(directory), min(names), max(names), most))
    if len(found) < most:
        return found
    return tuples(db, f"{sql} IN ({','.join('?' * len(names))})", (raw(directory), *names))


def _marked_stamps(db: Database, directory: str, names: Sequence[bytes]) -> dict[bytes, Stamp]:
    if not has_marks(db):
        return {}
    found = tuples(
        db,
        f"""
        WITH names (name) AS (VALUES {",".join(["(?)"] * len(names))})
        SELECT name, size_bytes, mtime_ns, inode FROM names JOIN marks ON digest = keyed_digest(?, name)
        """,  # noqa: S608 - marks only
        (*names, os.fsencode(directory)),
    )
    return {name: (size, mtime, inode) for name, size, mtime, inode in found}
