"""Nothing of what was deleted is left in the files of a database."""

from __future__ import annotations

import random
from pathlib import Path

from daemon.models import RecordingState
from daemon.storage.connection import Database
from daemon.storage.database import rows, transaction
from daemon.storage.purge import erase, sweeping
from tests.storage.stores import NOW, add


def said(db: Database, recording_id: int, words: int) -> None:
    """Store a result of so many words, all its own."""
    text = " ".join(f"w{recording_id:05}x{number}" for number in range(words))
    with transaction(db):
        db.execute(
            "UPDATE recordings SET transcript = ?, summary = ? WHERE id = ?", (text, text, recording_id)
        )
        db.execute("DELETE FROM sentiments WHERE recording_id = ?", (recording_id,))
        for position in range(5):
            db.execute(
                "INSERT INTO sentiments (recording_id, position, text) VALUES (?, ?, ?)",
                (recording_id, position, text[: 200 * position]),
            )


def test_nothing_is_left_in_free_pages_index_and_log_after_many_updates(path: Path, db: Database) -> None:
    chance = random.Random(7)
    ids = add(db, 60, state=RecordingState.DONE)
    for _ in range(4):
        for number in ids:
            said(db, number, chance.randint(1, 1500))
    gone = chance.sample(ids, 20)

    with transaction(db):
        assert erase(db, gone, "forget", "by id", NOW) == 20
    steps = list(sweeping(db, NOW))

    assert steps[-1] is True
    # The index is written anew in steps, whatever the size of the database.
    assert len(steps) >= 3
    wal = path.with_name("earshot.db-wal")
    content = path.read_bytes() + wal.read_bytes()
    # In the index a word may begin with what it shares with the one before.
    assert [number for number in gone if f"w{number:05}x".encode() in content] == []
    kept = next(number for number in ids if number not in gone)
    assert rows(db, "SELECT 1 FROM recordings_fts WHERE recordings_fts MATCH ?", (f"w{kept:05}x0",))
    db.execute("INSERT INTO recordings_fts (recordings_fts) VALUES ('integrity-check')")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_is_erased_while_it_is_swept_is_swept_the_next_time(db: Database) -> None:
    first, second = add(db, 2, state=RecordingState.DONE)
    with transaction(db):
        erase(db, [first], "forget", "by id", NOW)
    work = sweeping(db, NOW)
    next(work)
    with transaction(db):
        erase(db, [second], "retention", "recordings", NOW)
    list(work)
    unswept = "SELECT by FROM erasures WHERE swept_at IS NULL"
    assert rows(db, unswept) == [{"by": "retention"}]
    list(sweeping(db, NOW))
    assert rows(db, unswept) == []
