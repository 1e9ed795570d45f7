"""Recordings as exports take them, made up."""

from __future__ import annotations

from typing import Any

from daemon.export.document import Document
from daemon.models import Word

RECORDING: dict[str, Any] = {
    "id": 17,
    "name": "call.wav",
    "state": "done",
    "error": None,
    "recorded_at": None,
    "first_seen_at": "2026-03-01T10:00:00.000Z",
    "duration_seconds": 20.0,
    "average_sentiment": None,
    "average_sentiment_score": None,
    "not_analyzed": {},
    "tags": [],
    "metadata": {},
    "transcript": "",
    "summary": None,
    "sentiments": [],
    "topics": [],
    "intents": [],
    "alerts": [],
}


def words(text: str, *, start: float = 0.0, speaker: str | None = None, channel: int = 0) -> list[Word]:
    """One word a second, half a second long."""
    return [
        Word(word, start + number, start + number + 0.5, speaker, channel)
        for number, word in enumerate(text.split())
    ]


def passage(text: str, start: float | None = None, end: float | None = None, **more: Any) -> dict[str, Any]:
    known = {"position": 0, "text": text, "start_seconds": start, "end_seconds": end, "speaker": None}
    known |= {"start_word": None, "end_word": None, "sentiment": "neutral", "sentiment_score": 0.0}
    return known | more


def document(*said: Word, **columns: Any) -> Document:
    return Document(RECORDING | columns, tuple(said))
