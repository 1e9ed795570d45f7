"""Databases and rows to test with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlite_utils import Database

from daemon.files import device_above
from daemon.models import Ending, FileStamp, NewRecording, RecordingState
from daemon.storage.database import rows, transaction
from daemon.storage.recordings import add_recording, modified_at, remember_file

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
    """Add recordings that are due at NOW; returns their ids."""
    first = rows(db, "SELECT count(*) AS n FROM recordings")[0]["n"]
    ending = None if state == RecordingState.WAITING else Ending(state, "", "")
    with transaction(db):
        return [_added(db, stamp(first + number, folder), folder, ending) for number in range(count)]


def _added(db: Database, found: FileStamp, folder: str, ending: Ending | None) -> int:
    new = NewRecording(found.path, False, folder, found.size_bytes, modified_at(found))
    recording_id = add_recording(db, new, NOW, ending=ending)
    remember_file(db, folder, found, recording_id)
    return recording_id


def row(db: Database, recording_id: int) -> dict[str, Any]:
    """A recording as the table has it."""
    return rows(db, "SELECT * FROM recordings WHERE id = ?", (recording_id,))[0]


def states(db: Database) -> dict[str, int]:
    """How many recordings are in each state."""
    found = rows(db, "SELECT state, count(*) AS n FROM recordings GROUP BY state")
    return {item["state"]: item["n"] for item in found}
