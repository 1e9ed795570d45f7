"""Databases and rows to test with."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from daemon.files import device_above
from daemon.models import Ending, FileStamp, NewRecording, RecordingState
from daemon.storage import queue
from daemon.storage.connection import Database
from daemon.storage.database import rows, transaction
from daemon.storage.migrations import SCHEMA
from daemon.storage.recordings import modified_at, remember_file

Result = TypeVar("Result")

NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)


def later(seconds: float) -> datetime:
    """So many seconds after NOW."""
    return NOW + timedelta(seconds=seconds)


def stamp(number: int, folder: str = "/r") -> FileStamp:
    """A file that is unlike the files of other numbers."""
    path = f"{folder}/{number:04}.wav"
    return FileStamp(path, 1000 + number, 10**18, 10**18, number + 1, device_above(path) or 1, 8)


def add(
    db: Database, count: int = 1, *, folder: str = "/r", state: RecordingState = RecordingState.WAITING
) -> list[int]:
    """Add recordings that are due at NOW, or as they are in another state; returns their ids."""
    first = rows(db, "SELECT count(*) AS n FROM recordings")[0]["n"]
    with transaction(db):
        return [_add(db, folder, stamp(first + number, folder), state) for number in range(count)]


def _add(db: Database, folder: str, found: FileStamp, state: RecordingState) -> int:
    new = NewRecording(found.path, False, folder, found.size_bytes, modified_at(found))
    number = queue.add(db, new, NOW)
    remember_file(db, folder, found, number)
    match state:
        case RecordingState.ANALYZING:
            queue.claim_this(db, number, NOW)
        case RecordingState.DONE:
            queue.finish(db, number, NOW)
        case RecordingState.DUPLICATE:
            queue.duplicate(db, number, number, NOW, sha256=None, request_key="")
        case RecordingState.FAILED | RecordingState.SKIPPED:
            queue.end(db, number, Ending(state, "code", "reason"), NOW)
    return number


def schema_before(place: Path, step: str) -> Path:
    """A folder with the schema as it was before this step, as `open_database` takes it."""
    older = place / f"schema-before-{step}"
    older.mkdir()
    for path in SCHEMA.glob("*.sql"):
        if path.stem < step:
            shutil.copy(path, older)
    return older


def committed(write: Callable[..., Result], db: Database, *values: Any, **options: Any) -> Result:
    """What a function returns that writes, called in a transaction of its own."""
    with transaction(db):
        return write(db, *values, **options)


def row(db: Database, recording_id: int) -> dict[str, Any]:
    """A recording as the table has it."""
    return rows(db, "SELECT * FROM recordings WHERE id = ?", (recording_id,))[0]


def states(db: Database) -> dict[str, int]:
    """How many recordings are in each state."""
    found = rows(db, "SELECT state, count(*) AS n FROM recordings GROUP BY state")
    return {item["state"]: item["n"] for item in found}
