"""What a listing asks of the rows for every file: the stamps of those that are known."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from daemon.storage.connection import Database
from daemon.storage.database import tuples, value
from daemon.storage.recordings import NOT_TAKEN, Stamp, has_marks, has_rows
from daemon.storage.stored_paths import ENCODING, ENCODING_ERRORS, as_blobs, blobs, raw


def known_stamps(
    db: Database, directory: str, names: Iterable[str], *, takes_lists: bool = False
) -> dict[str, Stamp]:
    """Return the stamps of the known ones among these names in `directory`, lists of addresses included.

    For a few thousand names at most. With `takes_lists`, lists that were not taken count as changed. Every
    listing asks for every file, so this makes as few objects as it can.
    """
    # As `raw` does; for each file of each listing a call is much.
    wanted = {name.encode(ENCODING, ENCODING_ERRORS): name for name in names}
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


def _stored_stamps(db: Database, directory: str, names: Mapping[bytes, str]) -> list[tuple[Any, ...]]:
    """Return names and stamps of the known files among these, and perhaps of others between them.

    A file that was not found, so that its recording was set aside, counts as changed when it is back.
    """
    if not names:
        return []
    place = (raw(directory), min(names), max(names))
    others = value(
        db,
        "SELECT 1 FROM files WHERE directory = ? AND name BETWEEN ? AND ? LIMIT 1 OFFSET ?",
        (*place, 2 * len(names)),
    )
    # One step through the index from the first name to the last, where not many others are between them.
    which = f"IN ({blobs(names)})" if others else "BETWEEN ? AND ?"
    return tuples(
        db,
        f"""
        SELECT name, iif(EXISTS (
            SELECT 1 FROM recordings INDEXED BY recordings_gone
            WHERE id = files.recording_id AND state = 'skipped' AND error_code = 'gone'
        ), NULL, size_bytes), mtime_ns, inode
        FROM files WHERE directory = ? AND name {which}
        """,  # noqa: S608 - marks only
        (raw(directory), *as_blobs(names)) if others else place,
    )


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
