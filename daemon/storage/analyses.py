"""Reading stored analyses back as the records that they were stored from, one by one. Nothing here writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from sqlite_utils import Database

from daemon.models import Analysis, Segment
from daemon.storage.database import rows
from daemon.storage.results import SEGMENT_TABLES

BATCH_ROWS = 50
"""Recordings fetched at a time: a transcript can be long."""

# When a conversation took place, as well as that is known; the same order as for `max_age`.
_TOOK_PLACE = "coalesce(recorded_at, modified_at, first_seen_at)"
_COLUMNS = tuple(
    field.name for field in fields(Analysis) if field.name not in (*SEGMENT_TABLES, "not_analyzed")
)


@dataclass(frozen=True, slots=True)
class StoredAnalysis:
    """A recording that is done, with its analysis; `path` is as people see it."""

    recording_id: int
    name: str
    path: str
    folder: str | None
    recorded_at: str | None
    modified_at: str | None
    took_place_at: str
    tags: tuple[str, ...]
    metadata: dict[str, str]
    analysis: Analysis


def stored_analyses(db: Database, *, since: str | None = None) -> Iterator[StoredAnalysis]:
    """Every recording that is done and took place since then, by rising id.

    Fetched in batches, each a read of its own: one long SELECT would keep SQLite from shortening its
    write-ahead log.
    """
    after = 0
    while True:
        batch = rows(
            db,
            f"SELECT *, {_TOOK_PLACE} AS took_place_at FROM recordings"  # noqa: S608 - the text above
            f" WHERE state = 'done' AND id > ? AND {_TOOK_PLACE} >= ? ORDER BY id LIMIT ?",
            (after, since or "", BATCH_ROWS),
        )
        for row in batch:
            yield _stored(db, row)
        if len(batch) < BATCH_ROWS:
            return
        after = batch[-1]["id"]


def _stored(db: Database, row: dict[str, Any]) -> StoredAnalysis:
    known: dict[str, Any] = {column: row[column] for column in _COLUMNS}
    known |= {table: _segments(db, table, row["id"]) for table in SEGMENT_TABLES}
    known |= {"transcript": row["transcript"] or "", "not_analyzed": json.loads(row["not_analyzed"])}
    analysis = Analysis(**known)
    return StoredAnalysis(
        recording_id=row["id"],
        name=row["name"],
        path=row["path"],
        folder=row["folder"],
        recorded_at=row["recorded_at"],
        modified_at=row["modified_at"],
        took_place_at=row["took_place_at"],
        tags=tuple(json.loads(row["tags"])),
        metadata=json.loads(row["metadata"]),
        analysis=analysis,
    )


def _segments(db: Database, table: str, recording_id: int) -> tuple[Segment, ...]:
    label, score = SEGMENT_TABLES[table]
    found = rows(db, f"SELECT * FROM {table} WHERE recording_id = ? ORDER BY position", (recording_id,))  # noqa: S608
    return tuple(
        Segment(
            position=row["position"],
            text=row["text"] or "",
            start_word=row["start_word"],
            end_word=row["end_word"],
            start_seconds=row["start_seconds"],
            end_seconds=row["end_seconds"],
            speaker=row["speaker"],
            label=row[label] or "",
            score=row[score],
        )
        for row in found
    )
