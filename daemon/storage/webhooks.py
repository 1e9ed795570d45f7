"""What other programs are told of recordings: stored with what happened, delivered like alerts (outbox.py).

Functions that write are called inside a transaction of the caller.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from daemon.models import iso
from daemon.storage.connection import Database
from daemon.storage.database import rows
from daemon.storage.views import recording

Event = Literal["done", "failed", "alert"]

SAID = {"sentiments": ("text",), "topics": ("text",), "intents": ("text",), "alerts": ("body",)}
"""What repeats parts of the transcript in the rows that belong to a recording."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """The events a webhook is told, and whether with transcripts."""

    name: str
    events: tuple[Event, ...]
    transcript: bool


def configure_webhooks(db: Database, wanted: Iterable[Subscription]) -> None:
    """Set which webhooks are told what from now on, in place of the old ones."""
    db.execute("DELETE FROM webhook_targets")
    for each in wanted:
        db.execute(
            "INSERT INTO webhook_targets (name, events, transcript) VALUES (?, ?, ?)",
            (each.name, json.dumps(each.events), int(each.transcript)),
        )


def note_event(db: Database, recording_id: int, event: Event, now: datetime) -> None:
    """Store a message, with the present recording, for each webhook that is told this event."""
    wanted = rows(
        db,
        "SELECT name, transcript FROM webhook_targets"
        " WHERE EXISTS (SELECT 1 FROM json_each(events) WHERE value = ?)",
        (event,),
    )
    found = recording(db, recording_id) if wanted else None
    if found is None:
        return
    for row in wanted:
        data = found if row["transcript"] else without_words(found)
        message = {"type": f"recording.{event}", "timestamp": iso(now), "data": data}
        db.execute(
            "INSERT INTO webhooks (recording_id, destination, event, message_id, created_at, body)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (recording_id, row["name"], event, f"msg_{uuid.uuid4().hex}", iso(now), json.dumps(message)),
        )


def without_words(found: dict[str, Any]) -> dict[str, Any]:
    """Return a recording without its transcript, and without what repeats parts of it."""
    rest = {key: value for key, value in found.items() if key != "transcript"}
    for table, said in SAID.items():
        rest[table] = [{key: row[key] for key in row if key not in said} for row in rest[table]]
    return rest


def orphaned_messages(db: Database) -> dict[str, int]:
    """Return how many messages wait for webhooks that the configuration does not name (any more), by name."""
    found = rows(
        db,
        "SELECT destination, count(*) AS n FROM webhooks WHERE state = 'pending'"
        " AND destination NOT IN (SELECT name FROM webhook_targets) GROUP BY destination",
    )
    return {row["destination"]: row["n"] for row in found}


def stuck_webhooks(db: Database, before: datetime) -> dict[str, str]:
    """Return an error by name for each configured webhook that is stuck.

    Messages have waited since `before`, or were given up with none sent since.
    """
    found = rows(
        db,
        """
        SELECT name, max(webhooks.error) AS error FROM webhook_targets
        JOIN webhooks ON destination = name
        WHERE (state = 'pending' AND error IS NOT NULL AND coalesce(due_at, created_at) <= ?)
            OR (state = 'failed' AND created_at > coalesce(
                (SELECT max(sent_at) FROM webhooks WHERE destination = name AND state = 'sent'), ''))
        GROUP BY name
        """,
        (iso(before),),
    )
    return {row["name"]: row["error"] or "" for row in found}
