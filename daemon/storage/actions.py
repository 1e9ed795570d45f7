"""Who did what by the web pages; judging apart, which is in `verdicts`."""

from __future__ import annotations

from datetime import datetime

from daemon.models import iso
from daemon.storage.connection import Database


def note_action(db: Database, by: str, action: str, subject: object, now: datetime) -> None:
    """Note that a person did this; call in the transaction that does it."""
    db.execute(
        "INSERT INTO actions (at, by, action, subject) VALUES (?, ?, ?, ?)",
        (iso(now), by, action, str(subject)),
    )
