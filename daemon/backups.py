"""Backups: copy the database to where a person wants it, and keep as many copies as wanted.

A copy is written and checked under a name of its own beside the file that it becomes, so there is never half
of one. Files that earshot did not make are never replaced and never deleted.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from daemon.errors import EarshotError
from daemon.models import iso, shown_path
from daemon.storage import copies
from daemon.storage.connection import Database
from daemon.storage.database import open_copy, transaction
from daemon.storage.inspection import used_bytes
from daemon.storage.lock import beside_of
from daemon.storage.private_file import COMPANIONS

_NAME = "earshot-%Y%m%d-%H%M%SZ.db"
_DATED = re.compile(r"earshot-\d{8}-\d{6}Z\.db")
_PARTIAL = ".earshot-backup-"
_ABANDONED_SECONDS = 86400.0
_HEADER_BYTES = 100
_SYNCED_BYTES = 8_000_000

Progress = Callable[[int, int], None]
"""Called with the bytes that are written, and with about how many there will be."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy that was made: its file, when it began, and how many rows of what are in it.

    `deleted` are older ones that went.
    """

    file: Path
    at: str
    size_bytes: int
    rows: dict[str, int]
    seconds: float
    deleted: list[Path]


def back_up(
    db: Database,
    database: Path,
    target: str,
    *,
    keep: int | None = None,
    min_free: int = 0,
    now: datetime | None = None,
    on_progress: Progress = lambda *_: None,
) -> Backup:
    """Copy the database behind `db`, in the file `database`, to `target`, and check the copy.

    A folder gets a file named after the time; else an earlier copy in the file's place is replaced. `keep` is
    how many copies stay: in a folder the newest, else the file and FILE.1, FILE.2 and so on. On the disk of
    the database `min_free` bytes stay free. Raises EarshotError.
    """
    began, now = time.monotonic(), now or datetime.now(UTC)
    is_folder = target.endswith("/") or Path(target).is_dir()
    file = Path(target, now.strftime(_NAME)) if is_folder else Path(target)
    file = file.absolute()
    _refuse_others(file, database)
    is_numbered = keep is not None and not is_folder
    if is_numbered:
        _earlier(file)
    _remove_abandoned(file.parent)
    _check_room(file.parent, used_bytes(db), database, min_free)
    partial, descriptor = _new_file(file.parent)
    try:
        counts = _fill(db, partial, descriptor, now, on_progress)
        _refuse_others(file, database)
        if is_numbered:
            _number_earlier(file)
        partial.rename(file)
        _sync_folder(file.parent)
        size = os.fstat(descriptor).st_size
    except (OSError, sqlite3.DatabaseError) as error:
        reason = getattr(error, "strerror", None) or error
        raise EarshotError(f"{file}: the backup cannot be written ({reason})") from error
    finally:
        os.close(descriptor)
        for left in (partial, partial.with_name(f"{partial.name}-journal")):
            left.unlink(missing_ok=True)
    deleted = [] if keep is None else _delete_surplus(file, keep, is_folder=is_folder)
    with transaction(db):
        copies.note_backup(db, shown_path(str(file)), size, counts["recordings"], now)
    return Backup(file, iso(now), size, counts, time.monotonic() - began, deleted)


def _fill(
    db: Database, partial: Path, descriptor: int, now: datetime, on_progress: Progress
) -> dict[str, int]:
    """Copy and check; returns how many rows of what there are. All of it is on the disk then."""
    expected, synced = used_bytes(db), 0

    def look() -> None:
        nonlocal synced
        size = os.fstat(descriptor).st_size
        if size - synced > _SYNCED_BYTES:
            # Bit by bit: whoever commits to the same disk would have to wait for all of it at the end.
            os.fdatasync(descriptor)
            synced = size
        on_progress(size, expected)

    copies.write_copy(db, partial, look)
    with closing(open_copy(partial)) as copy:
        copies.finish_copy(copy, now, look)
        counts = copies.check_copy(db, copy, partial, look)
    os.fsync(descriptor)
    return counts


def _refuse_others(file: Path, database: Path) -> None:
    """Raise EarshotError unless there is no file, or a copy that may be replaced."""
    for suffix in ("", *COMPANIONS, ".key"):
        beside = beside_of(database, suffix)
        # By its name as well: it may be missing right now. And never opened: see database.py.
        if beside == file or _is_same(beside, file):
            raise EarshotError(f"{file}: this belongs to the database itself; name another file for the copy")
    if not file.parent.is_dir():
        raise EarshotError(f"{file.parent}: there is no such folder; make it, or mount what belongs there")
    if os.path.lexists(file) and not is_backup(file):
        raise EarshotError(
            f"{file}: this is no backup that earshot made, so it stays; name another file, or remove it"
        )


def is_backup(file: Path) -> bool:
    """Return whether this is a regular file that `back_up` made, and no database that a service has used."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return copies.is_copy(os.pread(descriptor, _HEADER_BYTES, 0))
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def _check_room(folder: Path, needed: int, database: Path, min_free: int) -> None:
    if folder.stat().st_dev == database.stat().st_dev:
        # With less than that the service pauses.
        needed += min_free
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise EarshotError(
            f"{folder}: a backup needs {-(-needed // 10**6)} MB there, and {free // 10**6} MB are free; "
            "make room, or name a place on another disk"
        )


def _new_file(folder: Path) -> tuple[Path, int]:
    """Make an empty file that only its owner may read, whatever the umask is; returns its descriptor too."""
    path = folder / f"{_PARTIAL}{secrets.token_hex(8)}"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o600)
    except OSError as error:
        raise EarshotError(f"{folder}: a backup cannot be written there ({error.strerror})") from error
    return path, descriptor


def _remove_abandoned(folder: Path) -> None:
    """Delete what killed processes left half-written."""
    for path in folder.glob(f"{_PARTIAL}*"):
        with suppress(OSError):
            status = path.lstat()
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > _ABANDONED_SECONDS:
                path.unlink()


def numbered_copies(file: Path) -> list[Path]:
    """Return the copies FILE.1, FILE.2 and so on that are there, however many are missing between them."""
    name = re.compile(re.escape(file.name) + r"\.([1-9]\d*)")
    try:
        found = {
            int(number[1]): path for path in file.parent.iterdir() if (number := name.fullmatch(path.name))
        }
    except OSError:
        return []
    return [found[number] for number in sorted(found) if is_backup(found[number])]


def _earlier(file: Path) -> list[Path]:
    """Return FILE.1, FILE.2 and so on, as far as they are there; raise EarshotError when one is no backup."""
    found: list[Path] = []
    while os.path.lexists(path := _numbered(file, len(found) + 1)):
        if not is_backup(path):
            raise EarshotError(
                f"{path}: this is no backup that earshot made; move it away, or leave --keep out"
            )
        found.append(path)
    return found


def _number_earlier(file: Path) -> None:
    """Make the copy in the file's place FILE.1 as well, and of FILE.1 FILE.2, and so on."""
    if not os.path.lexists(file):
        return
    for number, path in reversed(list(enumerate(_earlier(file), start=2))):
        path.rename(_numbered(file, number))
    try:
        os.link(file, _numbered(file, 1))
    except OSError:
        # Not every file system has hard links; for a moment nothing is in the file's place then.
        file.rename(_numbered(file, 1))


def _delete_surplus(file: Path, keep: int, *, is_folder: bool) -> list[Path]:
    """Delete the oldest copies beyond `keep`; return those that went."""
    if is_folder:
        dated = [path for path in file.parent.iterdir() if _DATED.fullmatch(path.name) and is_backup(path)]
        surplus = sorted(dated)[: max(len(dated) - keep, 0)]
    else:
        surplus = [path for path in numbered_copies(file) if int(path.suffix[1:]) >= keep]
    for path in surplus:
        path.unlink()
    return surplus


def _numbered(file: Path, number: int) -> Path:
    return file.with_name(f"{file.name}.{number}")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
