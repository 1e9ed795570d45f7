"""What is kept of an analysis: the raw reply, the result, and what a search finds."""

from __future__ import annotations

import json
import sqlite3
import zlib
from dataclasses import replace

import pytest

from daemon.deepgram.reply import read_reply
from daemon.models import Analysis, Segment, iso
from daemon.storage.connection import Database
from daemon.storage.database import rows, transaction
from daemon.storage.requests import begin_part, end_request
from daemon.storage.results import SEGMENT_TABLES, compressed, store_response, store_result, stored_reply
from daemon.storage.views import search
from tests.databases import tables
from tests.deepgram.asking import request
from tests.harness import sample
from tests.storage.stores import NOW, add, later, row


def analysis(**changes: object) -> Analysis:
    return replace(read_reply(sample("full_diarized"), request()), **changes)  # type: ignore[arg-type]


def store(db: Database, recording_id: int, result: Analysis) -> None:
    with transaction(db):
        store_result(db, recording_id, result, now=later(5))


def found(db: Database, words: str) -> list[int]:
    return sorted(item["id"] for item in search(db, words, 100))


def check_index(db: Database) -> None:
    """Fails when the full-text index does not say what the table says."""
    with transaction(db):
        db.execute("INSERT INTO recordings_fts (recordings_fts, rank) VALUES ('integrity-check', 1)")


# Replies


def test_a_reply_is_kept_as_it_was_received(db: Database) -> None:
    (number,) = add(db)
    body = json.dumps(sample("full_diarized")).encode() + b" \n"
    with transaction(db):
        store_response(db, number, compressed(body), kind="listen", now=NOW)

    (kept,) = rows(db, "SELECT * FROM responses")
    assert (kept["recording_id"], kept["received_at"], kept["kind"]) == (number, iso(NOW), "listen")
    assert len(kept["body"]) < len(body) / 2
    assert zlib.decompress(kept["body"]) == stored_reply(db, number) == body


def test_the_newest_usable_reply_counts_and_a_doubtful_one_never(db: Database) -> None:
    number, other = add(db, 2)
    with transaction(db):
        for body, kind in ((b"1", "listen"), (b"2", "listen"), (b"3", "doubtful"), (b"4", "read")):
            store_response(db, number, compressed(body), kind=kind, now=NOW)
    assert stored_reply(db, number) == b"2"
    assert stored_reply(db, other) is None


def test_a_kind_of_reply_that_is_unknown_is_refused(db: Database) -> None:
    (number,) = add(db)
    with pytest.raises(sqlite3.IntegrityError), transaction(db):
        store_response(db, number, compressed(b""), kind="other", now=NOW)


# Results


def test_a_result_is_stored_whole(db: Database) -> None:
    (number,) = add(db)
    db.execute("UPDATE recordings SET error = 'e', error_code = 'c', failures = 3, failing_since = 'x'")
    result = analysis(not_analyzed={"topics": "lone \ud800"})
    store(db, number, result)

    kept = row(db, number)
    assert (kept["state"], kept["analyzed_at"], kept["not_before"]) == ("done", iso(later(5)), None)
    assert (kept["error"], kept["error_code"], kept["failures"], kept["failing_since"]) == (
        None,
        None,
        0,
        None,
    )
    for name in ("transcript", "summary", "average_sentiment", "average_sentiment_score", "duration_seconds"):
        assert kept[name] == getattr(result, name)
    assert json.loads(kept["not_analyzed"]) == {"topics": "lone \ud800"}
    assert rows(db, "SELECT * FROM sentiments ORDER BY position") == [
        {
            "recording_id": number,
            "position": item.position,
            "text": item.text,
            "start_word": item.start_word,
            "end_word": item.end_word,
            "start_seconds": item.start_seconds,
            "end_seconds": item.end_seconds,
            "speaker": item.speaker,
            "sentiment": item.label,
            "sentiment_score": item.score,
        }
        for item in result.sentiments
    ]
    assert rows(db, "SELECT topic, confidence_score FROM topics") == [
        {"topic": "Scarf wrong color", "confidence_score": 0.00060707016}
    ]
    assert rows(db, "SELECT intent FROM intents") == [{"intent": "Resolve scarf order issue"}]


@pytest.mark.parametrize(("said", "kept"), [("of the body", "of the body"), (None, "of the header")])
def test_where_a_reply_does_not_say_its_request_id_that_of_its_header_is_kept(
    db: Database, said: str | None, kept: str
) -> None:
    (number,) = add(db)
    with transaction(db):
        entry = begin_part(db, number, None, NOW)
        end_request(db, entry, outcome="received", request_id="of the header", now=NOW)
    store(db, number, analysis(request_id=said))

    assert row(db, number)["request_id"] == kept


def test_a_result_without_segments_replaces_one_that_had_some(db: Database) -> None:
    number, other = add(db, 2)
    for recording_id in (number, other):
        store(db, recording_id, analysis())
    store(db, number, analysis(sentiments=(), topics=(), intents=()))

    for table in SEGMENT_TABLES:
        assert {item["recording_id"] for item in tables(db).table(table).rows} == {other}


def test_thousands_of_segments_are_stored(db: Database) -> None:
    (number,) = add(db)
    segments = tuple(Segment(n, "t", n, n, 0.0, 1.0, None, "x", 0.5) for n in range(5000))
    store(db, number, analysis(topics=segments))

    assert rows(db, "SELECT count(*) AS n, max(position) AS last FROM topics") == [{"n": 5000, "last": 4999}]


def test_a_result_and_what_goes_with_it_are_one_transaction(db: Database) -> None:
    (number,) = add(db)
    with pytest.raises(ZeroDivisionError), transaction(db):
        store_result(db, number, analysis(), now=NOW)
        raise ZeroDivisionError
    assert row(db, number)["state"] == "waiting"
    for table in SEGMENT_TABLES:
        assert tables(db).table(table).count == 0
    assert found(db, "scarf") == []
    check_index(db)


# Searching


def test_a_search_finds_transcript_summary_and_name(db: Database) -> None:
    one, two, _ = add(db, 3)
    store(db, one, analysis(transcript="Where is my parcel?", summary="A missing delivery."))
    store(db, two, analysis(transcript="Bonjour, où est mon café?", summary=None))

    assert found(db, "parcel") == [one]
    assert found(db, "DELIVERY") == [one]
    assert found(db, "0001") == [two]
    assert found(db, "cafe") == [two]
    assert found(db, "parcel delivery") == [one]
    assert found(db, "parcel café") == []
    check_index(db)


def test_a_search_follows_every_change(db: Database) -> None:
    (number,) = add(db)
    store(db, number, analysis(transcript="first words", summary="old"))
    store(db, number, analysis(transcript="second words", summary=None))
    assert (found(db, "first"), found(db, "old"), found(db, "second")) == ([], [], [number])
    with transaction(db):
        db.execute("UPDATE recordings SET name = 'renamed.wav' WHERE id = ?", (number,))
    assert (found(db, "0000"), found(db, "renamed")) == ([], [number])
    check_index(db)
    with transaction(db):
        for table in (*SEGMENT_TABLES, "files"):
            tables(db).table(table).delete_where()
        db.execute("DELETE FROM recordings")
    assert found(db, "second") == []
    check_index(db)


def test_a_claim_does_not_write_to_the_index(db: Database) -> None:
    (number,) = add(db)
    store(db, number, analysis())
    before = db.execute("SELECT count(*), sum(length(block)) FROM recordings_fts_data").fetchone()
    with transaction(db):
        db.execute("UPDATE recordings SET state = 'waiting', attempts = attempts + 1")
    assert db.execute("SELECT count(*), sum(length(block)) FROM recordings_fts_data").fetchone() == before


@pytest.mark.parametrize(
    "words", ['"', "a OR", "NEAR(", "-x", "x*", "a:b", "(", "'", "\\", "*", "^", "\x00", "\ud800", ""]
)
def test_what_people_type_is_never_a_mistake_in_syntax(db: Database, words: str) -> None:
    (number,) = add(db)
    store(db, number, analysis())
    assert isinstance(found(db, words), list)
