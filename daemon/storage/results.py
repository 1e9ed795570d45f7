"""What the API answered: the raw reply first, then what it says, in the same transaction as its alerts."""

from __future__ import annotations

import dataclasses
import json
import zlib
from datetime import datetime
from typing import Any

from sqlite_utils import Database

from daemon.models import Analysis, Segment, iso
from daemon.storage.database import rows
from daemon.storage.queue import finish

SEGMENT_TABLES = {
    "sentiments": ("sentiment", "sentiment_score"),
    "topics": ("topic", "confidence_score"),
    "intents": ("intent", "confidence_score"),
}
"""Each table of segments with its names for a segment's label and score."""


def store_response(db: Database, recording_id: int, body: bytes, *, kind: str, now: datetime) -> None:
    """Keep a reply as it was received (`kind`: listen, read, doubtful); call inside a transaction."""
    db.table("responses").insert(
        {
            "recording_id": recording_id,
            "received_at": iso(now),
            "kind": kind,
            "body": zlib.compress(body),
        }
    )


def stored_reply(db: Database, recording_id: int) -> bytes | None:
    """The newest usable reply to a recording, as received, or None."""
    found = rows(
        db,
        "SELECT body FROM responses WHERE recording_id = ? AND kind = 'listen' ORDER BY id DESC LIMIT 1",
        (recording_id,),
    )
    return zlib.decompress(found[0]["body"]) if found else None


def stored_parts(db: Database, recording_id: int) -> list[bytes]:
    """The replies to the parts of a recording's transcript that are there so far, in order."""
    found = rows(
        db, "SELECT body FROM responses WHERE recording_id = ? AND kind = 'read' ORDER BY id", (recording_id,)
    )
    return [zlib.decompress(row["body"]) for row in found]


def store_result(db: Database, recording_id: int, analysis: Analysis, *, now: datetime) -> None:
    """Write an analysis and close its recording as `done`; call inside the transaction of its alerts."""
    values = dataclasses.asdict(dataclasses.replace(analysis, sentiments=(), topics=(), intents=()))
    for table, (label, score) in SEGMENT_TABLES.items():
        segments: tuple[Segment, ...] = getattr(analysis, table)
        del values[table]
        db.execute(f"DELETE FROM {table} WHERE recording_id = ?", (recording_id,))  # noqa: S608 - our own names
        db.table(table).insert_all(_segment_row(recording_id, segment, label, score) for segment in segments)
    values["not_analyzed"] = json.dumps(analysis.not_analyzed)
    finish(db, recording_id, now, **values)


def analyze_in_parts(db: Database, recording_id: int, part_words: int) -> None:
    """Note that the transcript is to be analyzed so many words at a time.

    Replies to parts of another size are deleted: they are of no use any more.
    """
    db.execute("DELETE FROM responses WHERE recording_id = ? AND kind = 'read'", (recording_id,))
    db.execute("UPDATE recordings SET part_words = ? WHERE id = ?", (part_words, recording_id))


def _segment_row(recording_id: int, segment: Segment, label: str, score: str) -> dict[str, Any]:
    row = dataclasses.asdict(segment)
    row[label] = row.pop("label")
    row[score] = row.pop("score")
    return {"recording_id": recording_id, **row}
