"""The few facts above a conversation, as people read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from daemon.export.document import Document
from daemon.text import shown_clock, shown_confidence, shown_score, shown_time

MOST_TIMES = 6
"""Most moments that are listed for a topic or intent."""


def facts(document: Document) -> list[tuple[str, str]]:
    """Return the known facts of a recording as pairs of name and value."""
    row = document.recording
    average = row["average_sentiment"]
    if average and row["average_sentiment_score"] is not None:
        average += f" ({shown_score(row['average_sentiment_score'])})"
    known: list[tuple[str, str | None]] = [
        ("recorded", row["recorded_at"] and shown_time(row["recorded_at"], document.zone)),
        ("received", shown_time(row["first_seen_at"], document.zone)),
        ("length", None if row["duration_seconds"] is None else shown_clock(row["duration_seconds"])),
        ("state", None if row["state"] == "done" else row["state"]),
        ("why", row["error"]),
        ("sentiment", average),
        ("not analyzed", ", ".join(f"{name} ({why})" for name, why in row["not_analyzed"].items())),
        ("tags", ", ".join(row["tags"])),
        *row["metadata"].items(),
    ]
    return [(" ".join(name.split()), value) for name, value in known if value]


def labels(segments: Sequence[dict[str, Any]], label: str) -> list[str]:
    """Return each topic or intent once: its best confidence, and the moments where it came up."""
    by_label: dict[str, list[dict[str, Any]]] = {}
    for segment in segments:
        by_label.setdefault(segment[label] or "?", []).append(segment)
    return [f"{name}{_confidence(group)}{_moments(group)}" for name, group in by_label.items()]


def _confidence(group: Sequence[dict[str, Any]]) -> str:
    known = [segment["confidence_score"] for segment in group if segment["confidence_score"] is not None]
    return f" ({shown_confidence(max(known))})" if known else ""


def _moments(group: Sequence[dict[str, Any]]) -> str:
    times = [shown_clock(row["start_seconds"]) for row in group if row["start_seconds"] is not None]
    if not times:
        return ""
    more = f" and {len(times) - MOST_TIMES} more" if len(times) > MOST_TIMES else ""
    return " at " + ", ".join(times[:MOST_TIMES]) + more
