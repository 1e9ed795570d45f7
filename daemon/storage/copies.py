"""Copy the database into a file while others write to it, and check the copy.

The copy is one state of the database between two transactions. It is written anew row by row (VACUUM INTO),
so nothing of what was deleted is in it. Nobody waits meanwhile: readers hold up no writer, only the
write-ahead log grows.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from daemon.errors import EarshotError, StoreBusyError, StoreError
from daemon.models import iso
from daemon.storage.connection import Database
from daemon.storage.database import rows, tuples, value
from daemon.storage.inspection import integrity_faults
from daemon.storage.long_statements import watched
from daemon.storage.purge import empty_log, is_unswept, swept

MARK = int.from_bytes(b"earb")
"""SQLite's application_id of copies. A database that was made of one has it too, but is in WAL mode."""

_HEADER_BYTES = 100
_ROLLBACK_MODE = b"\x01\x01"

_COUNTED = ("recordings", "alerts", "webhooks")
"""Tables whose ids only grow."""

NOTES_KEPT = 100

_SEE_DOCTOR = "`earshot doctor` says whether the database itself is damaged"


def is_copy(header: bytes) -> bool:
    """Return whether a file that begins like this is a copy made here, and no service has used it since."""
    return (
        len(header) >= _HEADER_BYTES
        and header.startswith(b"SQLite format 3\0")
        and header[18:20] == _ROLLBACK_MODE
        and int.from_bytes(header[68:72]) == MARK
    )


def write_copy(db: Database, file: Path, on_progress: Callable[[], None]) -> None:
    """Write a copy into `file`, which must be empty; `on_progress` is called now and then.

    Raises StoreError when the database is damaged, EarshotError when the copy cannot be written.
    """
    with watched(db, on_progress):
        try:
            tuples(db, "VACUUM INTO ?", (str(file),))
        except StoreBusyError as error:
            # Only the copy is written to, so it is not the database's disk that is full or fails.
            reason = getattr(error.__cause__, "sqlite_errorname", "")
            raise EarshotError(
                f"{file.parent}: the copy cannot be written ({reason}); make room there"
            ) from error
    # It could not be emptied meanwhile; else the next who writes would have to do it.
    empty_log(db)


def finish_copy(copy: Database, now: datetime, on_progress: Callable[[], None]) -> None:
    """Mark a copy as one, and erase from it what was deleted from the database and is still in the index."""
    # Whoever made it syncs it as a whole in the end.
    copy.execute("PRAGMA synchronous = OFF")
    copy.execute(f"PRAGMA application_id = {MARK}")
    if not is_unswept(copy):
        return
    with watched(copy, on_progress):
        if not swept(copy, now, patience_seconds=0, small_bytes=sys.maxsize):
            raise EarshotError(
                "what was erased is still in the copy; make room in the folder for temporary files"
            )


def check_copy(db: Database, copy: Database, file: Path, on_progress: Callable[[], None]) -> dict[str, int]:
    """Return how many rows each table of _COUNTED has in the copy; raise StoreError when it is not whole.

    `db` is the database that it was made of.
    """
    with watched(copy, on_progress):
        faults = integrity_faults(copy)
    if faults:
        raise StoreError(f"the copy is damaged ({faults[0]}); {_SEE_DOCTOR}")
    db.execute("ATTACH ? AS copy", (str(file),))
    try:
        missing = {table: _missing(db, table) for table in _COUNTED}
    finally:
        db.execute("DETACH copy")
    if any(missing.values()):
        raise StoreError(f"the copy is not whole, it lacks {missing}; {_SEE_DOCTOR}")
    return {table: value(copy, f"SELECT count(*) FROM {table}") for table in _COUNTED}  # noqa: S608


def note_backup(db: Database, path: str, size_bytes: int, recordings: int, now: datetime) -> None:
    """Note that this copy was made; in the caller's transaction."""
    db.execute(
        "DELETE FROM backups WHERE path = ? OR id <= (SELECT max(id) FROM backups) - ?", (path, NOTES_KEPT)
    )
    db.execute(
        "INSERT INTO backups (at, path, size_bytes, recordings) VALUES (?, ?, ?, ?)",
        (iso(now), path, size_bytes, recordings),
    )


def last_backup(db: Database) -> dict[str, Any] | None:
    """Return the newest copy that is known: at, path, size_bytes, recordings."""
    found = rows(db, "SELECT at, path, size_bytes, recordings FROM backups ORDER BY id DESC LIMIT 1")
    return found[0] if found else None


def backup_paths(db: Database) -> list[str]:
    """Return where the copies are that are known, oldest first; some may be gone."""
    return [path for (path,) in tuples(db, "SELECT path FROM backups ORDER BY id")]


def _missing(db: Database, table: str) -> int:
    """Count rows that are not in the copy, though they are older than it and still there."""
    sql = f"""
        SELECT count(*) FROM main.{table} AS live
        WHERE id <= (SELECT seq FROM copy.sqlite_sequence WHERE name = '{table}')
            AND NOT EXISTS (SELECT 1 FROM copy.{table} AS copied WHERE copied.id = live.id)
        """  # noqa: S608 - our own names
    return int(value(db, sql))
