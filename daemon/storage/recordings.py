"""Known files: which path, with which stamp, belongs to which recording; and which lists were read.

The file of a deleted recording has a mark instead, so that it is not taken and paid for again. Triggers of
the schema write it, without a name. New content under the file's name is taken as any other.

Functions that change rows are called inside a transaction, so that what was read in it still holds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from daemon.models import FileStamp, RecordingState, iso, shown_path
from daemon.storage.blocks import insert_rows
from daemon.storage.connection import Database
from daemon.storage.database import rows, tuples, value
from daemon.storage.stored_paths import BLOB, as_blob, blobs, raw

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, tzinfo=UTC)
_LARGEST = 2**63 - 1

_UNMARK = "DELETE FROM marks WHERE digest = keyed_digest(?, ?)"
_COLUMNS = """
    files.directory, files.name, files.folder, files.device, files.size_bytes, files.mtime_ns, files.inode,
    files.recording_id,
    recordings.state, recordings.attempts, recordings.error_code, recordings.sha256,
    (analyzed_at IS NOT NULL OR EXISTS (
        SELECT 1 FROM responses WHERE recording_id = recordings.id AND kind = 'listen'
    )) AS has_reply
    FROM files JOIN recordings ON recordings.id = files.recording_id
"""


Stamp = tuple[int | None, int, int]
"""Size in bytes (None: equal to no file's), modification time in nanoseconds, inode; as they are stored."""


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file that has a recording: the file as it was last noted, and the state of the recording.

    `has_reply` says that there is a result, or a reply of the API that is not used yet.
    """

    path: str
    folder: str
    device: int
    size_bytes: int
    mtime_ns: int
    inode: int
    recording_id: int
    state: RecordingState
    attempts: int
    error_code: str | None
    sha256: str | None
    has_reply: bool

    def has_stamp(self, stamp: FileStamp, *, inodes_last: bool = True) -> bool:
        """Return whether the file is unchanged.

        Without `inodes_last` the inode is ignored: on network and FUSE mounts it may change at each mount.
        """
        if (self.size_bytes, self.mtime_ns) != (stamp.size_bytes, stored_time(stamp.mtime_ns)):
            return False
        return not inodes_last or self.inode == signed_number(stamp.inode)

    @property
    def is_gone(self) -> bool:
        """Return whether the recording was set aside because its file was not found."""
        return self.state == RecordingState.SKIPPED and self.error_code == "gone"


_AS_STORED = tuple(field.name for field in fields(KnownFile) if field.name != "path")

NOT_TAKEN = ""
"""Instead of its hash: a list that was not read, because its folder takes none (`lists: false`)."""


@dataclass(frozen=True, slots=True)
class KnownList:
    """A known list of addresses; `sha256` is None for one without content, NOT_TAKEN for one not read."""

    path: str
    sha256: str | None


def split_path(path: str) -> tuple[str, str]:
    """Return directory (no slash at the end, so empty for the root) and name of an absolute path."""
    directory, _, name = path.rpartition("/")
    return directory, name


def known_files(db: Database, directory: str, names: Iterable[str]) -> dict[str, KnownFile]:
    """Return those of these names in `directory` that are known, by name; a few thousand at most."""
    wanted = list(names)
    sql = f"SELECT {_COLUMNS} WHERE files.directory = ? AND files.name IN ({blobs(wanted)})"
    found = rows(db, sql, (os.fsencode(directory), *map(as_blob, wanted)))
    return {os.fsdecode(row["name"]): _known(row) for row in found}


def known_at(db: Database, paths: Iterable[str]) -> dict[str, KnownFile]:
    """Return those of the files at these paths that are known, by path; a few thousand at most."""
    names: dict[str, list[str]] = {}
    for directory, name in map(split_path, paths):
        names.setdefault(directory, []).append(name)
    found = (known_files(db, directory, each) for directory, each in names.items())
    return {known.path: known for each in found for known in each.values()}


def has_marks(db: Database) -> bool:
    """Return whether any file is marked."""
    return has_rows(db, "marks")


def has_rows(db: Database, table: str) -> bool:
    """Return whether there is anything in a table."""
    return value(db, f"SELECT 1 FROM {table} LIMIT 1") is not None  # noqa: S608 - our own names


def is_marked(db: Database, stamp: FileStamp) -> bool:
    """Return whether the file is that of a deleted recording, under its old name or another.

    At its old path the inode may differ, as after a backup was restored. A renamed file is known by inode,
    size and time, but not if the time is in whole seconds, which other files may share.
    """
    size_and_time = stamp.size_bytes, stored_time(stamp.mtime_ns)
    inode = signed_number(stamp.inode) if stamp.mtime_ns % 1_000_000_000 else None
    found = tuples(
        db,
        """
        SELECT 1 FROM marks WHERE digest = keyed_digest(?1, ?2) AND size_bytes = ?3 AND mtime_ns = ?4
        UNION ALL
        SELECT 1 FROM marks WHERE inode = ?5 AND size_bytes = ?3 AND mtime_ns = ?4
        """,
        (*stored_place(stamp.path), *size_and_time, inode),
    )
    return bool(found)


def mark(db: Database, folder: str, stamp: FileStamp) -> None:
    """Note where a marked file is now and how it looks."""
    db.execute(
        "INSERT OR REPLACE INTO marks (digest, size_bytes, mtime_ns, inode, folder, looks)"
        " VALUES (keyed_digest(?1, ?2), ?3, ?4, ?5, ?6, (SELECT looks FROM folders WHERE path = ?6))",
        (
            *stored_place(stamp.path),
            stamp.size_bytes,
            stored_time(stamp.mtime_ns),
            signed_number(stamp.inode),
            folder,
        ),
    )


def unmark(db: Database, path: str) -> None:
    """Delete the mark of a path, where there is another file now, or none."""
    db.execute(_UNMARK, stored_place(path))


def stamp_of(status: os.stat_result) -> Stamp:
    """Return the stamp of a file with this status, as it would be stored."""
    return status.st_size, stored_time(status.st_mtime_ns), signed_number(status.st_ino)


def taken_in_as(db: Database, recording_id: int) -> Stamp | None:
    """Return the stamp of the recording's file when it was taken in, None without a file."""
    sql = "SELECT size_bytes, mtime_ns, inode FROM files WHERE recording_id = ?"
    return next(iter(tuples(db, sql, (recording_id,))), None)


def siblings(db: Database, path: str) -> list[KnownFile]:
    """Return the other known files beside this one whose names differ in the ending alone."""
    directory, name = split_path(path)
    stem, dot, _ = name.rpartition(".")
    if not dot or not stem:
        return []
    # In the order of the index `stem/` comes right after all that begins with `stem.`.
    found = rows(
        db,
        f"SELECT {_COLUMNS} WHERE files.directory = ? AND files.name > ? AND files.name < ?",
        (os.fsencode(directory), os.fsencode(f"{stem}."), os.fsencode(f"{stem}/")),
    )
    known = [_known(row) for row in found]
    own = f"{directory}/{stem}"
    return [each for each in known if each.path != path and each.path.rpartition(".")[0] == own]


def known_by_inode(db: Database, folder: str, stamps: Iterable[FileStamp]) -> dict[str, list[KnownFile]]:
    """Return, by path, the known files that each of these may have been: same inode, size and time.

    In `folder`, its watched folder, the device is ignored: its number may change at each mount. Files of
    other folders must have the same device: a rename stays in its file system.
    """
    wanted: dict[tuple[int, int, int], list[FileStamp]] = {}
    for stamp in stamps:
        wanted.setdefault(_numbers(stamp), []).append(stamp)
    sql = f"SELECT {_COLUMNS} WHERE files.inode IN ({','.join('?' * len(wanted))})"
    found = rows(db, sql, tuple(inode for inode, _, _ in wanted))
    candidates: dict[str, list[KnownFile]] = {}
    for known in map(_known, found):
        for stamp in wanted.get((known.inode, known.size_bytes, known.mtime_ns), ()):
            if known.folder == folder or known.device == signed_number(stamp.device):
                candidates.setdefault(stamp.path, []).append(known)
    return candidates


def touch_recording(db: Database, recording_id: int, stamp: FileStamp) -> None:
    """Note that the file has a new modification time but the same bytes."""
    db.execute("UPDATE recordings SET modified_at = ? WHERE id = ?", (modified_at(stamp), recording_id))


def describe_recording(
    db: Database, recording_id: int, recorded_at: str | None, metadata: Mapping[str, str]
) -> None:
    """Note what the file's name says, in place of what it said before."""
    db.execute(
        "UPDATE recordings SET recorded_at = ?, metadata = ? WHERE id = ?",
        (recorded_at, json.dumps(dict(metadata), ensure_ascii=False), recording_id),
    )


def move_recording(db: Database, folder: str, known: KnownFile, path: str) -> None:
    """Note that the file was renamed: its recording gets the new name, the old one is forgotten."""
    db.execute(
        "UPDATE recordings SET path = ?, source = ?, name = ?, folder = ? WHERE id = ?",
        (shown_path(path), os.fsencode(path), shown_path(split_path(path)[1]), folder, known.recording_id),
    )
    db.execute("DELETE FROM files WHERE directory = ? AND name = ?", stored_place(known.path))


def remember_file(db: Database, folder: str, stamp: FileStamp, recording_id: int) -> None:
    """Note that the file, as it looks now, belongs to this recording.

    `stamp.device` must be the directory's: on some file systems (overlayfs) each file has its own.
    """
    remember_files(db, folder, [(stamp, recording_id)])


def remember_files(db: Database, folder: str, files: Iterable[tuple[FileStamp, int]]) -> None:
    """Note many files, each with its recording, as `remember_file` does."""
    placed = [(tuple(map(as_blob, split_path(stamp.path))), stamp, number) for stamp, number in files]
    insert_rows(
        db,
        "INSERT OR REPLACE INTO files"  # noqa: S608 - BLOB only
        " (directory, name, digest, folder, device, inode, size_bytes, mtime_ns, recording_id)"
        f" VALUES ({BLOB}, {BLOB}, keyed_digest({BLOB}, {BLOB}), ?, ?, ?, ?, ?, ?)",
        [
            (*place, *place, folder, signed_number(stamp.device), *_numbers(stamp), number)
            for place, stamp, number in placed
        ],
    )
    if has_marks(db):
        db.conn.executemany(_UNMARK, [stored_place(stamp.path) for _, stamp, _ in placed])


def known_list(db: Database, path: str) -> KnownList | None:
    """Return the list of addresses at `path` as it was read, None when it was not."""
    found = rows(db, "SELECT * FROM lists WHERE directory = ? AND name = ?", stored_place(path))
    return KnownList(path, found[0]["sha256"]) if found else None


def refusal_of(db: Database, path: str) -> int | None:
    """Return the id of the newest recording that says what in the dropped file at `path` was not taken."""
    found: int | None = value(
        db,
        "SELECT id FROM recordings WHERE source = ? AND error_code IN ('bad_address', 'corrected')"
        " ORDER BY id DESC LIMIT 1",
        (os.fsencode(path),),
    )
    return found


def lists_with_content(db: Database, folder: str, sha256: str) -> list[KnownList]:
    """Return the lists of this folder that were read with these bytes."""
    found = rows(db, "SELECT * FROM lists WHERE sha256 = ? AND folder = ?", (sha256, folder))
    return [KnownList(_path(row), sha256) for row in found]


def remember_list(db: Database, folder: str, stamp: FileStamp, sha256: str | None) -> None:
    """Note that the list, as it looks now, was read."""
    db.execute(
        "INSERT OR REPLACE INTO lists"
        " (directory, name, digest, folder, inode, size_bytes, mtime_ns, sha256, looks) VALUES"
        " (?1, ?2, keyed_digest(?1, ?2), ?3, ?4, ?5, ?6, ?7, (SELECT looks FROM folders WHERE path = ?3))",
        (*stored_place(stamp.path), folder, *_numbers(stamp), sha256),
    )
    unmark(db, stamp.path)


def forget_list(db: Database, path: str) -> None:
    """Note that there is no list at this path any more."""
    db.execute("DELETE FROM lists WHERE directory = ? AND name = ?", stored_place(path))


def has_recording_of(db: Database, folder: str, url: str) -> bool:
    """Return whether an address has a recording in this folder, or had one anywhere that was deleted."""
    sql = "SELECT 1 FROM recordings WHERE is_url = 1 AND source = ?1 AND folder = ?2"
    sql += " UNION ALL SELECT 1 FROM marks WHERE digest = keyed_digest(?1) LIMIT 1"
    return value(db, sql, (os.fsencode(url), folder)) is not None


def places_of(db: Database, recording_id: int) -> list[tuple[str, int]]:
    """Return the paths of a recording's files, each with the device number it had when it was taken in."""
    found = rows(db, "SELECT directory, name, device FROM files WHERE recording_id = ?", (recording_id,))
    return [(_path(row), row["device"] % 2**64) for row in found]


def modified_at(stamp: FileStamp) -> str:
    """Return the file's modification time as the database has it, clamped to the years 1 to 9999."""
    try:
        return iso(_EPOCH + timedelta(microseconds=stamp.mtime_ns // 1000))
    except OverflowError:
        return iso(_LATEST if stamp.mtime_ns > 0 else _EARLIEST)


def _known(row: dict[str, Any]) -> KnownFile:
    more = {"state": RecordingState(row["state"]), "has_reply": bool(row["has_reply"])}
    return KnownFile(_path(row), **{name: row[name] for name in _AS_STORED} | more)


def _path(row: dict[str, Any]) -> str:
    return os.fsdecode(row["directory"] + b"/" + row["name"])


def stored_place(path: str) -> tuple[bytes, bytes]:
    """Return directory and name of an absolute path as they are stored."""
    directory, name = split_path(path)
    return raw(directory), raw(name)


def _numbers(stamp: FileStamp) -> tuple[int, int, int]:
    return signed_number(stamp.inode), stamp.size_bytes, stored_time(stamp.mtime_ns)


def signed_number(number: int) -> int:
    """Return an unsigned 64-bit number as SQLite's signed one."""
    return number - 2**64 if number > _LARGEST else number


def stored_time(nanoseconds: int) -> int:
    """Return a time clamped to 64 bits of nanoseconds; some file systems hold others."""
    is_usual = -_LARGEST <= nanoseconds <= _LARGEST
    return nanoseconds if is_usual else max(-_LARGEST, min(nanoseconds, _LARGEST))
