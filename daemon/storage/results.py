"""Write and read what the API answered: the reply as received, and what it says.

Functions that write run in the caller's transaction.
"""

from __future__ import annotations

import json
import zlib
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any

from daemon.models import Analysis, Conversation, Segment, iso
from daemon.storage.blocks import insert_rows
from daemon.storage.connection import Database
from daemon.storage.costs import add_result_cost
from daemon.storage.counters import count_analyzed
from daemon.storage.database import rows, tuples
from daemon.storage.queue import finish
from daemon.storage.requests import named_by_service
from daemon.storage.sidecars import note_sidecars

SEGMENT_TABLES = {
    "sentiments": ("sentiment", "sentiment_score"),
    "topics": ("topic", "confidence_score"),
    "intents": ("intent", "confidence_score"),
}
"""Each table of segments with its names for a segment's label and score."""

BATCH_ROWS = 50
"""Recordings fetched at a time: a transcript can be long."""
COMPRESSION = 4
"""Of replies, 1 to 9: half the time of zlib's default (6), for a few percent more room."""

# When a conversation took place, as far as known; `max_age` counts from the same time.
_TOOK_PLACE = "coalesce(recorded_at, modified_at, first_seen_at)"
# The label and the score come last.
_SEGMENT_COLUMNS = tuple(field.name for field in fields(Segment) if field.name != "kind")
_stored_segment = attrgetter(*_SEGMENT_COLUMNS)
_ADD_SEGMENT = {
    table: f"INSERT INTO {table} ({', '.join(('recording_id', *_SEGMENT_COLUMNS[:-2], *own))})"  # noqa: S608 - ours
    f" VALUES ({', '.join('?' * (len(_SEGMENT_COLUMNS) + 1))})"
    for table, own in SEGMENT_TABLES.items()
}
_COLUMNS = tuple(
    field.name for field in fields(Analysis) if field.name not in (*SEGMENT_TABLES, "not_analyzed", "cost")
)
_OF_CONVERSATION = (
    *("id", "name", "path", "folder", "recorded_at", "modified_at", "quiet", "tags", "metadata"),
    *("not_analyzed", *_COLUMNS),
)


def compressed(body: bytes) -> bytes:
    """Return a reply as `store_response` takes it; not in a transaction, because it takes long."""
    return zlib.compress(body, COMPRESSION)


def store_response(db: Database, recording_id: int, body: bytes, *, kind: str, now: datetime) -> None:
    """Keep a `compressed` reply as it was received (`kind`: listen, read, doubtful)."""
    db.conn.execute(
        "INSERT INTO responses (recording_id, received_at, kind, body) VALUES (?, ?, ?, ?)",
        (recording_id, iso(now), kind, body),
    )


def stored_reply(db: Database, recording_id: int) -> bytes | None:
    """Return the newest usable reply to a recording, as it was received, or None."""
    found = rows(
        db,
        "SELECT body FROM responses WHERE recording_id = ? AND kind = 'listen' ORDER BY id DESC LIMIT 1",
        (recording_id,),
    )
    return zlib.decompress(found[0]["body"]) if found else None


def reply_in_hand(db: Database, recording_id: int) -> bytes | None:
    """Return the newest usable reply to a recording from which its result is still to be made, or None.

    Where a person wants it analyzed anew, replies from before do not count.
    """
    found = rows(
        db,
        "SELECT body FROM responses JOIN recordings ON recordings.id = recording_id"
        " WHERE recording_id = ? AND kind = 'listen' AND responses.id > coalesce(used_reply, 0)"
        " ORDER BY responses.id DESC LIMIT 1",
        (recording_id,),
    )
    return zlib.decompress(found[0]["body"]) if found else None


def stored_parts(db: Database, recording_id: int) -> list[bytes]:
    """Return the replies so far to the parts of a recording's transcript, in order of the parts."""
    found = rows(
        db, "SELECT body FROM responses WHERE recording_id = ? AND kind = 'read' ORDER BY id", (recording_id,)
    )
    return [zlib.decompress(row["body"]) for row in found]


def store_result(db: Database, recording_id: int, analysis: Analysis, *, now: datetime) -> bool:
    """Write an analysis and end its recording as `done`; store its alerts in the same transaction.

    Returns whether it had a result before.
    """
    values = {column: getattr(analysis, column) for column in _COLUMNS}
    values["not_analyzed"] = json.dumps(analysis.not_analyzed)
    values["request_id"] = analysis.request_id or named_by_service(db, recording_id)
    before = finish(db, recording_id, now, **values)
    if before is None:
        return False
    if before.was_analyzed:
        _delete_segments(db, recording_id)
        db.conn.execute("DELETE FROM readings WHERE recording_id = ?", (recording_id,))
    _add_segments(db, recording_id, analysis)
    if analysis.cost:
        add_result_cost(db, recording_id, before.folder, analysis.cost, now)
    spent = analysis.cost.usd if analysis.cost else None
    count_analyzed(db, before.folder, analysis.duration_seconds or 0.0, spent or 0.0, now)
    return before.was_analyzed


def replace_intelligence(db: Database, recording_id: int, analysis: Analysis) -> None:
    """Write what was found in the transcript of a recording that is done, in place of what was found before.

    Everything else of it stays.
    """
    _delete_segments(db, recording_id)
    _add_segments(db, recording_id, analysis)
    db.execute(
        "UPDATE recordings SET summary = ?, average_sentiment = ?, average_sentiment_score = ?,"
        " not_analyzed = ? WHERE id = ?",
        (
            analysis.summary,
            analysis.average_sentiment,
            analysis.average_sentiment_score,
            json.dumps(analysis.not_analyzed),
            recording_id,
        ),
    )
    note_sidecars(db, recording_id)


def _delete_segments(db: Database, recording_id: int) -> None:
    for table in (*SEGMENT_TABLES, "worst_scores"):
        db.execute(f"DELETE FROM {table} WHERE recording_id = ?", (recording_id,))  # noqa: S608 - our own names


def _add_segments(db: Database, recording_id: int, analysis: Analysis) -> None:
    for table, sql in _ADD_SEGMENT.items():
        segments: tuple[Segment, ...] = getattr(analysis, table)
        insert_rows(db, sql, [(recording_id, *_stored_segment(each)) for each in segments])
    scores = [segment.score for segment in analysis.sentiments if segment.score is not None]
    if scores:
        sql = "INSERT INTO worst_scores (recording_id, score) VALUES (?, ?)"
        db.conn.execute(sql, (recording_id, min(scores)))


def analyze_in_parts(db: Database, recording_id: int, part_words: int) -> None:
    """Note that the transcript is to be analyzed so many words at a time.

    Deletes the replies to parts of another size, which are of no use now.
    """
    db.execute("DELETE FROM responses WHERE recording_id = ? AND kind = 'read'", (recording_id,))
    db.execute("UPDATE recordings SET part_words = ? WHERE id = ?", (part_words, recording_id))


def is_done(db: Database, recording_id: int) -> bool:
    """Return whether the recording has a result, and is not in the queue again."""
    return bool(rows(db, "SELECT 1 FROM recordings WHERE id = ? AND state = 'done'", (recording_id,)))


def analyzed_among(db: Database, ids: Iterable[int]) -> array[int]:
    """Return those of these recordings that are done, by rising id; in place of a copy its original."""
    found = tuples(
        db,
        "SELECT id FROM recordings WHERE state = 'done' AND id IN ("
        " SELECT coalesce(duplicate_of, id) FROM recordings"
        " WHERE id IN (SELECT value FROM json_each(?))) ORDER BY id",
        (json.dumps(list(ids)),),
    )
    return array("q", (number for (number,) in found))


def stored_conversations(
    db: Database, ids: Sequence[int], *, tables: Collection[str] = SEGMENT_TABLES
) -> Iterator[tuple[str, Conversation]]:
    """Yield time and conversation for those of these recordings that are done, in their order.

    Only segments of these `tables` are read; there are many. Fetched in batches, each a read of its own: one
    long SELECT would keep SQLite from shortening its write-ahead log.
    """
    for start in range(0, len(ids), BATCH_ROWS):
        wanted = list(ids[start : start + BATCH_ROWS])
        batch = tuples(
            db,
            f"SELECT {_TOOK_PLACE}, {', '.join(_OF_CONVERSATION)} FROM recordings"  # noqa: S608 - our own names
            " WHERE state = 'done' AND id IN (SELECT value FROM json_each(?))",
            (json.dumps(wanted),),
        )
        by_id = {row[1]: row for row in batch}
        segments = {
            table: _segments(db, table, wanted) if table in tables else {} for table in SEGMENT_TABLES
        }
        for number in wanted:
            if number in by_id:
                took_place_at, *row = by_id[number]
                of_it = {table: tuple(found.get(number, ())) for table, found in segments.items()}
                yield took_place_at, _conversation(row, of_it)


def _conversation(row: Sequence[Any], segments: dict[str, tuple[Segment, ...]]) -> Conversation:
    """Return the conversation of a row with the columns `_OF_CONVERSATION`."""
    number, name, path, folder, recorded_at, modified_at, quiet, tags, metadata, not_analyzed, *found = row
    known = dict(zip(_COLUMNS, found, strict=True))
    known |= segments | {"transcript": known["transcript"] or "", "not_analyzed": _mapping(not_analyzed)}
    return Conversation(
        recording_id=number,
        name=name,
        path=path,
        folder=folder,
        recorded_at=recorded_at,
        modified_at=modified_at,
        tags=() if tags == "[]" else tuple(json.loads(tags)),
        metadata=_mapping(metadata),
        quiet=bool(quiet),
        analysis=Analysis(**known),
    )


def _mapping(stored: str) -> dict[str, str]:
    # Nearly all are empty, and there may be very many.
    return {} if stored == "{}" else dict(json.loads(stored))


def _segments(db: Database, table: str, ids: Sequence[int]) -> dict[int, list[Segment]]:
    """Return the segments of these recordings in order."""
    label, score = SEGMENT_TABLES[table]
    stored = {"label": f"coalesce({label}, '')", "score": score, "text": "coalesce(text, '')"}
    columns = ", ".join(stored.get(name, name) for name in _SEGMENT_COLUMNS)
    found: dict[int, list[Segment]] = {}
    for number, *values in tuples(
        db,
        f"SELECT recording_id, {columns}, '{label}' FROM {table}"  # noqa: S608 - our own names
        " WHERE recording_id IN (SELECT value FROM json_each(?)) ORDER BY recording_id, position",
        (json.dumps(list(ids)),),
    ):
        # In the order of the columns.
        found.setdefault(number, []).append(Segment(*values))
    return found
