"""Tests of the stamps that a listing compares with."""

from __future__ import annotations

import os

import pytest

from daemon.models import Ending, FileStamp, NewRecording, RecordingState
from daemon.storage.connection import Database
from daemon.storage.database import memory_database
from daemon.storage.queue import add
from daemon.storage.recordings import remember_files
from daemon.storage.stamps import known_stamps
from tests.storage.stores import NOW

STRANGE = os.fsdecode(b"caf\xe9.wav")
COMPOSED = "\N{LATIN SMALL LETTER E WITH ACUTE}.wav"
ASTRAL = "\N{GRINNING FACE}.wav"


@pytest.fixture
def db() -> Database:
    db = memory_database()
    new = NewRecording("/r/a.wav", False, "/r")
    number = add(db, new, NOW)
    gone = add(db, new, NOW, ending=Ending(RecordingState.SKIPPED, "gone", "it is not there"))
    skipped = add(db, new, NOW, ending=Ending(RecordingState.SKIPPED, "empty", "it is empty"))
    names = [*(f"{each:03}.wav" for each in range(100)), STRANGE, COMPOSED, ASTRAL]
    files = [(_stamp(f"/r/{name}", size), number) for size, name in enumerate(names)]
    others = [(_stamp("/r/gone.wav", 7), gone), (_stamp("/r/empty.wav", 0), skipped)]
    remember_files(db, "/r", [*files, *others, (_stamp("/r/below/050.wav", 9), number)])
    return db


def _stamp(path: str, size: int) -> FileStamp:
    return FileStamp(path, size, size + 1, 0, size + 2, 5, 8)


@pytest.mark.parametrize(
    "names",
    [
        [],
        [f"{each:03}.wav" for each in range(100)],
        # Very many others are between these.
        ["000.wav", "099.wav"],
        ["050.wav", "new.wav"],
        [STRANGE, COMPOSED, ASTRAL],
        ["new.wav"],
    ],
)
def test_exactly_the_known_ones_among_the_names_have_a_stamp(db: Database, names: list[str]) -> None:
    stored = {f"{each:03}.wav": each for each in range(100)} | {STRANGE: 100, COMPOSED: 101, ASTRAL: 102}
    expected = {name: (stored[name], stored[name] + 1, stored[name] + 2) for name in names if name in stored}
    assert known_stamps(db, "/r", names) == expected


def test_a_file_whose_recording_was_set_aside_as_gone_counts_as_changed(db: Database) -> None:
    found = known_stamps(db, "/r", ["gone.wav", "empty.wav"])
    assert found == {"gone.wav": (None, 8, 9), "empty.wav": (0, 1, 2)}
