"""Conversations for the tests of rules, messages and the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daemon.config.models import Rule, When
from daemon.models import Analysis, Conversation, Match, Segment
from daemon.storage.connection import Database
from daemon.storage.database import rows

UNHAPPY = Rule(name="unhappy caller", when=When(average_sentiment=("negative",)), notify=("team",))


def passage(
    text: str = "I want to cancel.",
    label: str = "negative",
    score: float | None = -0.5,
    *,
    start: float | None = 12.0,
    speaker: str | None = "customer",
    word: int = 0,
) -> Segment:
    return Segment(
        position=0,
        text=text,
        start_word=word,
        end_word=word + 3,
        start_seconds=start,
        end_seconds=None if start is None else start + 2,
        speaker=speaker,
        label=label,
        score=score,
    )


def analysis(
    *,
    average: str | None = "negative",
    score: float | None = -0.52,
    sentiments: Sequence[Segment] = (passage(),),
    intents: Sequence[Segment] = (),
    transcript: str = "I want to cancel. Nobody calls me back.",
    summary: str | None = "The customer wants to cancel.",
    not_analyzed: dict[str, str] | None = None,
) -> Analysis:
    return Analysis(
        request_id="r",
        model="nova-3",
        language="en",
        duration_seconds=754.0,
        channels=1,
        confidence=0.9,
        transcript=transcript,
        summary=summary,
        average_sentiment=average,
        average_sentiment_score=score,
        sentiments=tuple(sentiments),
        topics=(),
        intents=tuple(intents),
        not_analyzed=not_analyzed or {},
        estimated_cost_usd=0.01,
    )


def conversation(found: Analysis | None = None, **changes: Any) -> Conversation:
    values: dict[str, Any] = {
        "recording_id": 7,
        "name": "call.wav",
        "path": "/srv/recordings/support/call.wav",
        "folder": "/srv/recordings/support",
        "recorded_at": "2026-03-01T12:00:00.000Z",
        "modified_at": "2026-03-01T12:30:00.000Z",
        "analysis": found or analysis(),
        "tags": ("support",),
        "metadata": {"agent": "Ann"},
    }
    return Conversation(**(values | changes))


def match(**changes: Any) -> Match:
    values: dict[str, Any] = {
        "rule": "unhappy caller",
        "severity": "warning",
        "notify": ("team",),
        "reasons": ("average -0.52, negative at -0.33 and below",),
        "segments": (passage(),),
    }
    return Match(**(values | changes))


def add_recording(db: Database) -> int:
    """A row for alerts to belong to; called inside a transaction."""
    stored = rows(
        db,
        "INSERT INTO recordings (path, name, state, first_seen_at, source)"
        " VALUES ('/srv/call.wav', 'call.wav', 'done', '2026-03-01T12:00:00.000Z', x'00') RETURNING id",
    )
    return int(stored[0]["id"])
