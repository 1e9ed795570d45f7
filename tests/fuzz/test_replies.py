"""Whatever the API answers is read and stored, or refused; never an error, and never nonsense in a table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from daemon.deepgram.parts import cut, merge, missing_parts, parse_part, words_of
from daemon.deepgram.reply import parse_body, read_reply
from daemon.deepgram.request import Request
from daemon.errors import DoubtfulReplyError
from daemon.models import Analysis, Segment
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.results import (
    compressed,
    store_response,
    store_result,
    stored_conversations,
    stored_reply,
)
from tests.databases import new_database
from tests.deepgram.asking import request
from tests.fuzz.conftest import Fuzz
from tests.fuzz.mutation import mutated, mutated_bytes, recorded
from tests.storage.stores import NOW, add

REPLIES = recorded()
REQUESTS = (
    request(),
    request(folder={"channels": ["customer", "agent"]}),
    request(folder={"channels": ["customer"]}, features=["sentiment"]),
    request(language="de", custom_intents=["cancel"], options={"diarize": True}),
)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with closing(new_database(tmp_path / "earshot.db")) as database:
        database.conn.execute("PRAGMA synchronous=OFF")
        yield database


def answer(random: Random) -> bytes:
    """The body of a reply, changed in its structure and sometimes in its bytes."""
    reply = mutated(random.choice(REPLIES), REPLIES, random)
    body = json.dumps(reply, ensure_ascii=random.random() < 0.5).encode("utf-8", "surrogatepass")
    return mutated_bytes(body, random, most=2) if random.random() < 0.1 else body


def test_a_reply_is_read_and_stored_as_it_was_read_or_refused(db: Database, fuzz: Fuzz) -> None:
    def check(random: Random) -> None:
        body = answer(random)
        try:
            reply = parse_body(body)
        except DoubtfulReplyError as error:
            assert "\n" not in str(error)
            return
        stored(db, body, read_reply(reply, random.choice(REQUESTS)))

    fuzz(check, 120)
    intact(db)


def test_a_reply_in_parts_is_put_together_and_stored(db: Database, fuzz: Fuzz) -> None:
    def check(random: Random) -> None:
        body = json.dumps(mutated(random.choice(REPLIES), REPLIES, random, most=2)).encode()
        try:
            reply = parse_body(body)
        except DoubtfulReplyError:
            return
        parts = cut(words_of(reply), random.choice((1, 7, 50, 10_000)))[:20]
        replies = [parsed for _ in parts if (parsed := part_of(random)) is not None]
        parts = parts[: len(replies)]
        merged = merge(reply, parts, replies)
        asked: Request = random.choice(REQUESTS)
        missing_parts(parts, replies)
        stored(db, body, read_reply(merged, asked))

    fuzz(check, 80)
    intact(db)


def part_of(random: Random) -> dict[str, Any] | None:
    try:
        return parse_part(answer(random))
    except DoubtfulReplyError:
        return None


@pytest.mark.parametrize("most", [1, 3, 20, 1000])
def test_the_parts_of_a_transcript_are_all_of_it(most: int) -> None:
    for reply in REPLIES:
        try:
            words = words_of(parse_body(json.dumps(reply).encode()))
        except DoubtfulReplyError:
            continue
        parts = cut(words, most)
        assert " ".join(part.text for part in parts).split() == words
        assert [part.first_word for part in parts] == [
            sum(part.words for part in parts[:index]) for index in range(len(parts))
        ]
        assert all(1 <= part.words <= most for part in parts)


def stored(db: Database, body: bytes, analysis: Analysis) -> None:
    """Store it as a result is stored, and find the same in the tables."""
    assert_sensible(analysis)
    (number,) = add(db)
    with transaction(db):
        store_response(db, number, compressed(body), kind="listen", now=NOW)
        store_result(db, number, analysis, now=NOW)
    assert stored_reply(db, number) == body
    (found,) = [
        each.analysis for _, each in stored_conversations(db, [number]) if each.recording_id == number
    ]
    # What it cost is in a table of its own.
    assert found == replace(analysis, cost=None)
    with transaction(db):
        # Kept, they would make each round longer than the one before.
        for table in ("sentiments", "topics", "intents", "responses", "files", "recordings"):
            db.execute(f"DELETE FROM {table}")  # noqa: S608 - the names above


def assert_sensible(analysis: Analysis) -> None:
    for text in (analysis.transcript, analysis.summary, analysis.average_sentiment, analysis.language):
        assert_storable(text)
    for score in (analysis.average_sentiment_score, analysis.confidence):
        assert score is None or -1 <= score <= 1
    for seconds in (analysis.duration_seconds, analysis.estimated_cost_usd):
        assert seconds is None or (math.isfinite(seconds) and seconds >= 0)
    for segments in (analysis.sentiments, analysis.topics, analysis.intents):
        assert [segment.position for segment in segments] == list(range(len(segments)))
        for segment in segments:
            assert_sensible_segment(segment)
    if "sentiment" in analysis.not_analyzed:
        assert analysis.average_sentiment is None
        assert analysis.average_sentiment_score is None
    else:
        assert analysis.average_sentiment
        assert analysis.average_sentiment_score is not None
    assert "summary" not in analysis.not_analyzed or analysis.summary is None


def assert_sensible_segment(segment: Segment) -> None:
    assert segment.label
    for text in (segment.text, segment.label, segment.speaker):
        assert_storable(text)
    assert segment.score is None or -1 <= segment.score <= 1
    for index in (segment.start_word, segment.end_word):
        assert index is None or index >= 0


def assert_storable(text: str | None) -> None:
    if text is not None:
        assert "\x00" not in text
        text.encode("utf-8")


def intact(db: Database) -> None:
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with transaction(db):
        db.execute("INSERT INTO recordings_fts (recordings_fts, rank) VALUES ('integrity-check', 1)")
