"""Databases to begin with: copies of one that was made once, in a tenth of the time that making one takes."""

from __future__ import annotations

import functools
import sqlite3
import tempfile
from pathlib import Path

import sqlite_utils

from daemon.storage.connection import Database
from daemon.storage.database import open_database, transaction


def new_database(path: Path) -> Database:
    """Open a database with today's tables and nothing in them, made at `path` unless one is there."""
    lay_database(path)
    return open_database(path)


def writing_connection(db: Database) -> sqlite3.Connection:
    """Return the connection by which this process writes to the database, to look on at what it does."""
    with transaction(db):
        return db.conn


def wait_at_most(db: Database, seconds: float) -> None:
    """Let transactions of `db` wait no longer for their turn, so that a locked database is noticed soon."""
    vars(db)["busy_seconds"] = seconds


def lay_database(path: Path) -> None:
    """Put a database with today's tables, and its key, at `path`, unless one is there."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for suffix, content in _files().items():
        file = path.with_name(path.name + suffix)
        file.touch(mode=0o600)
        file.write_bytes(content)


@functools.cache
def _files() -> dict[str, bytes]:
    """The files of a new database that is closed, by what is added to its name."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "earshot.db")
        open_database(path).close()
        return {file.name.removeprefix(path.name): file.read_bytes() for file in Path(place).iterdir()}


def tables(db: Database) -> sqlite_utils.Database:
    """Return the same connection with what sqlite-utils knows to do with tables and rows."""
    return sqlite_utils.Database(db.conn, execute_plugins=False)
