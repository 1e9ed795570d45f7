"""How a new recording is stored."""

from __future__ import annotations

import json
from typing import Any

from daemon.models import Ending, NewRecording, RecordingState, hosted_name, shown_address, shown_path
from daemon.storage.stored_paths import BLOB, as_blob

COLUMNS = (
    *("id", "path", "source", "digest", "is_url", "name", "folder", "size_bytes", "modified_at", "quiet"),
    *("tags", "recorded_at", "metadata", "first_seen_at", "state", "not_before", "error_code", "error"),
)
"""Those that `as_added` gives, in this order; of `digest` what it is made of."""
VALUES = ", ".join({"source": BLOB, "digest": f"keyed_digest({BLOB})"}.get(column, "?") for column in COLUMNS)


def as_added(number: int, found: tuple[NewRecording, Ending | None], now: str) -> tuple[Any, ...]:
    """Return the columns of a recording that is new, or has ended already; `now` is as `iso` writes it."""
    new, ending = found
    source = as_blob(new.source)
    shown = shown_address(new.source) if new.is_url else shown_path(new.source)
    return (
        number,
        shown,
        source,
        source,
        int(new.is_url),
        hosted_name(new.source) if new.is_url else shown.rpartition("/")[2] or shown,
        new.folder,
        new.size_bytes,
        new.modified_at,
        int(new.quiet),
        json.dumps(new.tags, ensure_ascii=False) if new.tags else "[]",
        new.recorded_at,
        json.dumps(new.metadata, ensure_ascii=False) if new.metadata else "{}",
        now,
        # Not the member: sqlite3 passes a plain text much faster.
        (ending.state if ending else RecordingState.WAITING).value,
        None if ending else now,
        ending.code if ending else None,
        ending.error if ending else None,
    )
