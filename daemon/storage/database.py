"""Opening the database file, and the one way to write to it: `with transaction(db):`.

WAL with synchronous=FULL: what was committed survives a power cut, and readers never wait for writers.
"""

from __future__ import annotations

import errno
import functools
import glob
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from daemon.errors import EarshotError, StoreBusyError, StoreError
from daemon.files import KEY_BYTES, private_key
from daemon.storage.connection import BUSY_SECONDS, Database
from daemon.storage.digests import adopt_key, has_other_key, learn_digests
from daemon.storage.lock import DaemonLock, beside_of, daemon_status, held
from daemon.storage.migrations import SCHEMA, applied_steps, migrate, saying_progress, step_names
from daemon.storage.private_file import create_file, create_private
from daemon.storage.sqlite_errors import trouble, unusable
from daemon.storage.writer import Writer, shared_writer

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def open_database(
    path: Path,
    *,
    busy_seconds: float = BUSY_SECONDS,
    schema: Path = SCHEMA,
    going_on: Callable[[], object] = lambda: None,
) -> Database:
    """Open the database at `path`, creating or migrating it, and return a connection for this thread.

    The file and its folder are made readable by their owner alone. Raises StoreError when the file is no
    earshot database, comes from a newer version, or cannot be written; StoreBusyError when that may
    pass. An existing file is never re-created; one that is not ours is not changed in any way.
    A write waits `busy_seconds` for other writers; `schema` is the folder with the steps to today's tables,
    and `going_on` is called now and then while they take long.
    """
    create_private(path)
    db = _connect(path, busy_seconds)
    try:
        applied = _check_ours(db, path, schema)
        db.conn.execute("PRAGMA journal_mode=WAL")
        key = _key(path)
        _prepare(db.conn, key)
        db.file = _identity(path)
        if applied != step_names(schema):
            # By this connection: what SQLite sorts for a new index may be too much for memory.
            _migrate(db, path, schema, going_on)
        db.writer = shared_writer((*db.file, key), functools.partial(_writing, path, db.file, key))
        _check_key(db, path)
    except sqlite3.DatabaseError as error:
        db.close()
        raise unusable(path, error) from error
    except EarshotError:
        db.close()
        raise
    return db


def open_existing(path: Path) -> Database:
    """Open a database for reading commands: it must exist already, else StoreError says so."""
    if not path.exists():
        raise StoreError(f"{path}: there is no database yet; `earshot run` or `earshot scan` creates it")
    return open_database(path)


def is_replaced(db: Database, path: Path) -> bool:
    """Return whether the file at `path` is gone, or another one than the database was opened from."""
    try:
        return db.file is not None and db.file != _identity(path)
    except OSError:
        return True


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def open_copy(path: Path) -> Database:
    """Open a copy of the database as it is, without bringing its tables up to date."""
    return _connect(path, BUSY_SECONDS)


def open_for_reading(path: Path) -> Database:
    """Open an existing database that is never written to; one thread at a time may use the connection.

    Raises StoreError or StoreBusyError. Its tables must be those of today: `open_existing` sees to that.
    """
    address = f"{path.absolute().as_uri()}?mode=ro"
    try:
        connection = sqlite3.connect(
            address, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        # What is sorted on the way must not go to the disk.
        connection.execute("PRAGMA temp_store=MEMORY")
        # 16 MB. A filter looks at thousands of recordings, each on a page of its own, to list and to count.
        connection.execute("PRAGMA cache_size=-16000")
        connection.execute("SELECT 1 FROM recordings LIMIT 1")
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error
    return Database(connection)


def memory_database() -> Database:
    """Return a database in memory with today's tables, for data that must not be stored."""
    db = Database(_as_ours(sqlite3.connect(":memory:", isolation_level=None)))
    learn_digests(db.conn, os.urandom(KEY_BYTES))
    migrate(db, SCHEMA)
    return db


@contextmanager
def transaction(db: Database) -> Iterator[Database]:
    """Begin a transaction, commit it at the end, and roll it back on any exception.

    Raises StoreBusyError when the database stays locked or its disk is full. What is committed may share its
    commit with what other threads write at the same time; a failure undoes this transaction alone. Inside,
    `db` is by the one connection of this process that writes.
    """
    own = db.conn
    # One in memory, and a copy that is only looked at, are nobody else's.
    writer = db.writer or Writer(lambda: own)
    try:
        with writer.writing(db.busy_seconds) as db.conn:
            try:
                yield db
            finally:
                db.conn = own
    except sqlite3.DatabaseError as error:
        raise trouble(error) from error


def in_transaction(db: Database, change: Callable[[], Result], *, urgent: bool = False) -> Result:
    """Do what `transaction` does with what `change` writes by `db`, and return what it returns.

    Cheaper where many threads write: one of them makes the changes of all that wait. So `change` may be
    called by another thread, while this one waits. An `urgent` change is not kept waiting by others.
    """

    def by_writer(connection: sqlite3.Connection) -> Result:
        own, db.conn = db.conn, connection
        try:
            return change()
        finally:
            db.conn = own

    if db.writer is None:
        with transaction(db):
            return change()
    try:
        return db.writer.write(by_writer, db.busy_seconds, urgent=urgent)
    except sqlite3.DatabaseError as error:
        raise trouble(error) from error


def try_to_write(db: Database) -> None:
    """Raise StoreBusyError while nothing can be written; writes a page and changes nothing."""
    with transaction(db):
        # We do not use this number.
        db.execute("PRAGMA user_version = 0")


def rows(db: Database, sql: str, parameters: tuple[Any, ...] | dict[str, Any] = ()) -> list[dict[str, Any]]:
    """Return every row of a statement as a dict; raises StoreBusyError for a locked or unreadable file."""
    try:
        cursor = db.conn.execute(sql, parameters)
        found = cursor.fetchall()
        names = [column[0] for column in cursor.description] if found else []
        return [dict(zip(names, row, strict=True)) for row in found]
    except sqlite3.DatabaseError as error:
        raise trouble(error) from error


def value(db: Database, sql: str, parameters: tuple[Any, ...] | dict[str, Any] = ()) -> Any:
    """Return the first column of the first row, None when there is none."""
    found = tuples(db, sql, parameters)
    return found[0][0] if found else None


def tuples(
    db: Database, sql: str, parameters: tuple[Any, ...] | dict[str, Any] = ()
) -> list[tuple[Any, ...]]:
    """Return every row as a plain tuple, made by SQLite alone: fast when there are many."""
    try:
        return db.conn.execute(sql, parameters).fetchall()
    except sqlite3.DatabaseError as error:
        raise trouble(error) from error


@contextmanager
def daemon_lock(path: Path) -> Iterator[DaemonLock]:
    """Hold the right to be the one daemon of the database at `path`.

    The lock is the kernel's (flock on a file beside the database), so it ends with the process, even
    after a kill. Raises EarshotError when another process holds it.
    """
    create_private(path)
    if not os.access(path, os.W_OK):
        raise StoreError(f"{path}: the database may only be read; check the owner and mode of the file")
    with held(path) as lock:
        yield lock


def _connect(path: Path, busy_seconds: float) -> Database:
    try:
        return Database(_connection(path, busy_seconds), busy_seconds)
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error


def _connection(path: Path, busy_seconds: float) -> sqlite3.Connection:
    # mode=rw: a file that is gone is not made anew. isolation_level=None: no statement opens a transaction by
    # itself; `transaction` does. All threads use the one that writes, in turn.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,
        check_same_thread=False,
        # Those for many rows are several (`insert_rows`).
        cached_statements=256,
    )
    # Overwrite what is deleted, whatever the default of this SQLite is.
    connection.execute("PRAGMA secure_delete=ON")
    return _as_ours(connection)


def _as_ours(connection: sqlite3.Connection) -> sqlite3.Connection:
    # A row that REPLACE removes takes along what belongs to it.
    connection.execute("PRAGMA recursive_triggers=ON")
    return connection


def _writing(path: Path, file: tuple[int, int], key: bytes) -> sqlite3.Connection:
    """Open the connection that writes, to the same file that was opened for reading."""
    try:
        connection = _connection(path, BUSY_SECONDS)
        # Else each page that a change of a shared transaction alters is first written to a temporary file.
        connection.execute("PRAGMA temp_store=MEMORY")
        if _identity(path) == file:
            return _prepare(connection, key)
        connection.close()
    except OSError:
        pass
    except sqlite3.DatabaseError as error:
        raise unusable(path, error) from error
    raise StoreError(f"{path}: the database is gone or another file than it was; start again")


def _prepare(connection: sqlite3.Connection, key: bytes) -> sqlite3.Connection:
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    learn_digests(connection, key)
    return connection


def _key(path: Path) -> bytes:
    """Return the key of the digests, which is in a file beside the database."""
    return _key_in(path, beside_of(path, ".key"))


def _key_in(path: Path, file: Path) -> bytes:
    try:
        return private_key(file, path.stat().st_uid)
    except OSError as error:
        text = f"{file}: the key beside the database cannot be used ({error.strerror})"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE):
            raise StoreBusyError(f"{text}; it is tried again") from error
        raise StoreError(f"{text}; check its owner, or remove it to have another one made") from error


def signing_key(path: Path) -> bytes:
    """Return the key that signs the cookies and links of the web pages, from a file beside the database."""
    return _key_in(path, beside_of(path, ".web-key"))


def _check_key(db: Database, path: Path) -> None:
    if not has_other_key(db):
        return
    with transaction(db):
        lost = adopt_key(db)
    if lost:
        text = (
            "the key beside the database is another one, files of deleted recordings are new file=%s files=%d"
        )
        logger.warning(text, path, lost)


def _check_ours(db: Database, path: Path, schema: Path) -> set[str]:
    """Return the steps that were applied; StoreError for a database that this version did not make."""
    # Read tables before migrations: another process may create them between the two reads.
    tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    known, applied = step_names(schema), applied_steps(db)
    (version,) = db.conn.execute("PRAGMA user_version").fetchone()
    # This version leaves SQLite's own number at 0; another one may not.
    if applied - known or version:
        raise StoreError(
            f"{path}: this database was written by a newer earshot; install that version again, or "
            + _way_back(path, len(known))
        )
    if tables and not applied:
        raise StoreError(f"{path}: this is a database of another program; point `database` at another file")
    return applied


def _way_back(path: Path, version: int) -> str:
    """Say what to do with a database that is too new for this version's number of steps."""
    older = [copy for number, copy in upgrade_copies(path).items() if number <= version + 1]
    if not older:
        return "point `database` at another file"
    return f"go back to the copy from before the upgrade, {older[-1]} (docs/operate.md, Going back)"


def upgrade_copies(path: Path) -> dict[int, Path]:
    """Return the copies that were made before the tables changed, by the number in their names."""
    real = beside_of(path, "")
    found = real.parent.glob(f"{glob.escape(real.name)}.before-*")
    numbered = {int(text): copy for copy in found if (text := copy.suffix.rpartition("-")[2]).isdigit()}
    return dict(sorted(numbered.items()))


def _migrate(db: Database, path: Path, schema: Path, going_on: Callable[[], object]) -> None:
    applied = applied_steps(db)
    if applied == step_names(schema):
        # Another process did it meanwhile.
        return
    if applied:
        _refuse_under_a_daemon(path)
        _back_up(db, path, len(applied))
    with transaction(db), saying_progress(db, path, going_on):
        # Another process may have migrated while this one waited for the lock.
        migrate(db, schema)


def _refuse_under_a_daemon(path: Path) -> None:
    """A command of a new version must not change the tables under a service that still runs the old one."""
    daemon = daemon_status(path)
    if daemon["running"] and daemon["pid"] != os.getpid():
        raise EarshotError(
            f"{path}: an older earshot (process {daemon['pid']}) is working on this database; "
            "restart it first, it then brings the tables up to date"
        )


def _back_up(db: Database, path: Path, version: int) -> None:
    """Copy the database beside itself before its tables change; delete the copy of a failed attempt."""
    backup = beside_of(path, f".before-{version + 1}")
    try:
        backup.unlink(missing_ok=True)
        create_file(backup)
    except OSError as error:
        raise StoreError(
            f"{backup}: the copy made before an upgrade cannot be written ({error.strerror}); "
            "move away what is there, and check the owner of the folder"
        ) from error
    with closing(sqlite3.connect(backup)) as copy:
        db.conn.backup(copy)


def free_bytes(path: Path) -> int:
    """Return the room left on the file system that holds the database, in bytes."""
    found = os.statvfs(path.parent)
    return found.f_bavail * found.f_frsize
