"""Stored conversations come back as they were stored, all of them, without filling the memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from daemon.models import Segment
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.results import BATCH_ROWS, analyzed_among, store_result, stored_conversations
from tests.alerts.examples import add_recording, analysis, passage

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def test_what_was_stored_comes_back_the_same(db: Database) -> None:
    said = [replace(passage(word=3 * n), position=n) for n in range(3)]
    topic = Segment(0, "about money", 1, 2, None, None, None, "Billing", None, "topic")
    found = replace(analysis(sentiments=said, not_analyzed={"intents": "too short"}), topics=(topic,))
    with transaction(db):
        recording_id = add_recording(db)
        db.execute("UPDATE recordings SET tags = '[\"a\"]', metadata = '{\"k\": \"v\"}', folder = '/srv'")
        store_result(db, recording_id, found, now=NOW)
    ((_, stored),) = stored_conversations(db, [recording_id])
    assert stored.analysis == found
    assert (stored.recording_id, stored.name, stored.path) == (recording_id, "call.wav", "/srv/call.wav")
    assert (stored.folder, stored.tags, stored.metadata) == ("/srv", ("a",), {"k": "v"})


def test_what_is_done_of_those_that_are_named_comes_in_batches_and_nothing_else(db: Database) -> None:
    with transaction(db):
        ids = [add_recording(db) for _ in range(2 * BATCH_ROWS + 3)]
        db.execute("UPDATE recordings SET state = 'failed' WHERE id = 1")
        db.execute("UPDATE recordings SET state = 'duplicate', duplicate_of = 4 WHERE id = 2")
    assert list(analyzed_among(db, [1, 2, 3])) == [3, 4]
    assert list(analyzed_among(db, ids)) == ids[2:]
    assert [stored.recording_id for _, stored in stored_conversations(db, ids)] == ids[2:]


def test_a_conversation_comes_with_the_time_when_it_took_place(db: Database) -> None:
    """As recorded, else as the file was modified, else as it was first seen."""
    new, old = "2026-03-01", "2026-02-01"
    times = ((new, old, old), (None, new, old), (old, new, new), (None, None, new))
    with transaction(db):
        for recorded, modified, seen in times:
            db.execute(
                "UPDATE recordings SET recorded_at = ?, modified_at = ?, first_seen_at = ? WHERE id = ?",
                (recorded, modified, seen, add_recording(db)),
            )
    found = list(stored_conversations(db, [1, 2, 3, 4]))
    assert [(stored.recording_id, at) for at, stored in found] == [(1, new), (2, new), (3, old), (4, new)]
