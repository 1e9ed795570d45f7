"""Erase recordings, or what was said in them, for good.

Triggers of the schema delete all that belongs to a row; SQLite overwrites what it deletes (secure_delete).
The index only marks entries as deleted, so `swept` then writes it anew without them and empties the
write-ahead log. Functions that write rows run in the caller's transaction, for at most BATCH recordings.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from daemon.errors import StoreBusyError
from daemon.models import iso
from daemon.storage.connection import Database
from daemon.storage.database import rows, transaction, tuples

BATCH = 20
"""Recordings that are erased in one transaction, so that nobody else waits long for it."""

MERGE_PAGES = 64
"""Pages of the index that are written anew in one transaction, of 4 kB each."""

SMALL_BYTES = 32 * 1024 * 1024
"""A database of up to this size is written anew as a whole (VACUUM), which takes a fraction of a second:
when SQLite moves a row to another page, it may leave a copy in the unused part of the first."""

CHECKPOINT_WAIT_MS = 300

_COPY = "SELECT id FROM recordings AS copy WHERE copy.duplicate_of = recordings.id"
ERASABLE = f"""
    recordings.state NOT IN ('waiting', 'analyzing') AND NOT recordings.protected
    AND NOT EXISTS ({_COPY} AND (copy.protected OR copy.state IN ('waiting', 'analyzing')))
"""
"""SQL on `recordings`: it has ended, and neither it nor a copy, erased with it, is protected."""

CONTENTS = {
    "copies": "SELECT count(*) FROM recordings WHERE duplicate_of = ?",
    "passages": "SELECT (SELECT count(*) FROM sentiments WHERE recording_id = ?1)"
    " + (SELECT count(*) FROM topics WHERE recording_id = ?1)"
    " + (SELECT count(*) FROM intents WHERE recording_id = ?1)",
    "replies": "SELECT count(*) FROM responses WHERE recording_id = ?",
    "alerts": "SELECT count(*) FROM alerts WHERE recording_id = ?",
    "webhooks": "SELECT count(*) FROM webhooks WHERE recording_id = ?",
}
"""What goes with a recording, and how much of it there is."""


def described(db: Database, recording_id: int) -> dict[str, Any] | None:
    """Return what a person must know before erasing a recording; `kept`: why it cannot be, or None."""
    found = rows(
        db,
        "SELECT id, name, path, folder, is_url, state, protected, duplicate_of, first_seen_at"
        " FROM recordings WHERE id = ?",
        (recording_id,),
    )
    if not found:
        return None
    contents = {name: tuples(db, sql, (recording_id,))[0][0] for name, sql in CONTENTS.items()}
    return found[0] | contents | {"kept": _why_kept(db, found[0])}


def copies_of(db: Database, recording_id: int) -> list[int]:
    """Return the copies of a recording, which are erased with it."""
    return [row[0] for row in tuples(db, "SELECT id FROM recordings WHERE duplicate_of = ?", (recording_id,))]


def erase(db: Database, ids: Collection[int], by: str, why: str, now: datetime) -> int:
    """Delete these recordings with all that belongs to them; return how many went, copies included.

    Those that are protected or being analyzed stay. `by` and `why` go into the audit table, and must hold no
    word of a recording.
    """
    if not ids:
        return 0
    wanted = json.dumps(list(ids))
    going = [
        row["id"]
        for row in rows(
            db, "SELECT * FROM recordings WHERE id IN (SELECT value FROM json_each(?))", (wanted,)
        )
        if _why_kept(db, row) is None
    ]
    (newest,) = tuples(db, "SELECT coalesce(max(id), 0) FROM erasures")[0]
    gone = set(going).union(*(copies_of(db, recording_id) for recording_id in going))
    for recording_id in going:
        db.execute("DELETE FROM recordings WHERE id = ?", (recording_id,))
    # Delete the notes of the triggers, which took this for a deletion by hand.
    db.execute("DELETE FROM erasures WHERE id > ? AND by = 'hand'", (newest,))
    note_erasure(db, len(gone), by, why, now)
    return len(gone)


def note_erasure(db: Database, recordings: int, by: str, why: str, now: datetime) -> None:
    """Note in the audit table that data of so many recordings was erased and is to be swept up."""
    if recordings:
        db.execute(
            "INSERT INTO erasures (at, recordings, by, why) VALUES (?, ?, ?, ?) ON CONFLICT (at, by, why)"
            " DO UPDATE SET recordings = recordings + excluded.recordings, swept_at = NULL",
            (iso(now), recordings, by, why),
        )


def protect(db: Database, recording_id: int, *, on: bool) -> bool:
    """Set or lift protection from retention and `forget`; False when there is no such recording."""
    changed = db.execute("UPDATE recordings SET protected = ? WHERE id = ?", (int(on), recording_id))
    return bool(changed.rowcount)


# What is left of deleted rows in the file


def is_unswept(db: Database) -> bool:
    """Return whether deleted data may be left in the files of the database."""
    return bool(tuples(db, "SELECT 1 FROM erasures WHERE swept_at IS NULL LIMIT 1"))


def sweeping(db: Database, now: datetime, *, small_bytes: int = SMALL_BYTES) -> Iterator[bool]:
    """Sweep up what was deleted until now, in short transactions, one for each `next`.

    Yields False for each step, and True at the end when nothing is left. If it ends without True, another
    process kept the write-ahead log from being emptied: begin anew. A database of at most `small_bytes` is
    written anew as a whole, in one transaction.
    """
    (last,) = tuples(db, "SELECT max(id) FROM erasures WHERE swept_at IS NULL")[0]
    for _ in _merging(db):
        yield False
    try:
        _rewrite_small(db, small_bytes)
        is_empty = empty_log(db)
    except StoreBusyError:
        return
    if not is_empty:
        return
    with transaction(db):
        db.execute(
            "UPDATE erasures SET swept_at = ? WHERE swept_at IS NULL AND id <= ?", (iso(now), last or 0)
        )
    yield True


def swept(db: Database, now: datetime, *, patience_seconds: float, small_bytes: int = SMALL_BYTES) -> bool:
    """Sweep up what was deleted; False when a reader was in the way for all of `patience_seconds`."""
    deadline = time.monotonic() + patience_seconds
    while not any(sweeping(db, now, small_bytes=small_bytes)):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.2)
    return True


def _merging(db: Database) -> Iterator[None]:
    """Write the index anew, without what was deleted, as SQLite's documentation of FTS5 says ('merge').

    A negative number starts on the whole index; positive ones go on with it until nothing changes.
    """
    pages = -MERGE_PAGES
    while True:
        with transaction(db):
            before = db.conn.total_changes
            db.execute("INSERT INTO recordings_fts (recordings_fts, rank) VALUES ('merge', ?)", (pages,))
            changes = db.conn.total_changes - before
        if changes < 2:
            return
        pages = MERGE_PAGES
        yield


def is_small(db: Database) -> bool:
    """Return whether the database is so small that sweeping writes it anew as a whole."""
    return _size_bytes(db) <= SMALL_BYTES


def _size_bytes(db: Database) -> int:
    (size,) = tuples(db, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")[0]
    return int(size)


def _rewrite_small(db: Database, small_bytes: int) -> None:
    if _size_bytes(db) > small_bytes:
        return
    if is_small(db):
        # Keep the copy that SQLite makes of it in memory, off the disk.
        db.execute("PRAGMA temp_store=MEMORY")
    with _waiting_briefly(db):
        tuples(db, "VACUUM")


def empty_log(db: Database) -> bool:
    """Move the write-ahead log into the database; False when a reader still needs the log."""
    # First move most of it without a lock, so that others can write.
    tuples(db, "PRAGMA wal_checkpoint(PASSIVE)")
    with _waiting_briefly(db):
        (is_blocked, _, _) = tuples(db, "PRAGMA wal_checkpoint(TRUNCATE)")[0]
    return not is_blocked


@contextmanager
def _waiting_briefly(db: Database) -> Iterator[None]:
    """Wait for readers at most CHECKPOINT_WAIT_MS, because nobody can write meanwhile."""
    (usual,) = tuples(db, "PRAGMA busy_timeout")[0]
    db.execute(f"PRAGMA busy_timeout={CHECKPOINT_WAIT_MS}")
    try:
        yield
    finally:
        db.execute(f"PRAGMA busy_timeout={usual}")


def _why_kept(db: Database, row: dict[str, Any]) -> str | None:
    if reason := _reason(row):
        return reason
    for copy in rows(db, "SELECT id, state, protected FROM recordings WHERE duplicate_of = ?", (row["id"],)):
        if reason := _reason(copy):
            return f"stays for its copy: recording {copy['id']} {reason}"
    return None


def _reason(row: dict[str, Any]) -> str | None:
    if row["protected"]:
        return f"is protected; `earshot protect --off {row['id']}` lets it go"
    if row["state"] == "analyzing":
        return "is being analyzed right now; try again when it is done"
    return None


def batches(ids: Iterable[int]) -> Iterator[list[int]]:
    """Yield the ids in their order, BATCH at a time."""
    batch: list[int] = []
    for recording_id in ids:
        batch.append(recording_id)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
