"""Say in our errors what SQLite says in its own: what may pass in a moment, and what a person has to mend."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from daemon.errors import EarshotError, StoreBusyError, StoreError
from daemon.storage.writer import LOCKED

_PASSING = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR")
"""SQLite's names of errors on opening a database that may pass in a moment."""


def trouble(error: sqlite3.DatabaseError) -> Exception:
    """Return StoreBusyError if it may work later, StoreError for a broken file, else the error itself."""
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreError(f"the database file is damaged ({error}); put a backup in its place")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreBusyError(LOCKED)
    if name.startswith("SQLITE_FULL"):
        return StoreBusyError("the disk of the database is full; make room on it")
    if name.startswith("SQLITE_IOERR"):
        # Opening a connection fails like this when the disk is completely full.
        return StoreBusyError(
            f"the disk of the database fails or is full ({name}); make room on it, check it"
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN")):
        return StoreBusyError(
            f"the database cannot be written ({name}); check the owner of its file and folder"
        )
    return error


def unusable(path: Path, error: sqlite3.DatabaseError) -> EarshotError:
    """Return the same for an error on opening the database at `path`."""
    name = getattr(error, "sqlite_errorname", "")
    if isinstance(error, sqlite3.OperationalError) and name.startswith(_PASSING):
        return StoreBusyError(f"{path}: {trouble(error)}")
    if name.startswith("SQLITE_CANTOPEN") and _may_be_opened(path):
        return StoreBusyError(
            f"{path}: the database may be opened and cannot be; if too many files are open, raise LimitNOFILE"
        )
    if "not a database" in str(error) or "malformed" in str(error):
        return StoreError(
            f"{path}: this file is not a usable database ({error}); restore it from a backup or move it away"
        )
    if "already exists" in str(error):
        return StoreError(f"{path}: {error}, and this version needs that name for its own; rename yours")
    return StoreError(f"{path}: the database cannot be opened ({error}); check the disk and the file's owner")


def _may_be_opened(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK | os.W_OK) and os.access(path.parent, os.W_OK | os.X_OK)
