"""Keep how many files of each folder are not taken, and why, so that commands can say it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

from daemon.sightings import PassedFiles
from daemon.storage.connection import Database
from daemon.storage.database import rows
from daemon.storage.recordings import NOT_TAKEN

REASONS = ("incomplete", "empty", "ending", "ignored", "link", "unreadable", "addresses", "lists")
"""Not complete yet; without content; an unknown ending; an ignored name; no regular file; a directory that
cannot be read; dropped addresses that were refused; lists of addresses where `lists` is false."""

MOST_NAMES = 100
"""Names that are kept for each folder and reason."""


def note_not_taken(db: Database, folder: str, found: Mapping[str, PassedFiles]) -> None:
    """Replace what is noted of a folder by what was found now."""
    db.execute("DELETE FROM not_taken WHERE folder = ?", (folder,))
    for reason, passed in found.items():
        files = json.dumps([astuple(file) for file in passed.files[:MOST_NAMES]], ensure_ascii=False)
        db.execute(
            "INSERT INTO not_taken (folder, reason, count, files) VALUES (?, ?, ?, ?)",
            (folder, reason, passed.count, files),
        )


def not_taken(db: Database) -> dict[str, dict[str, int]]:
    """Return how many files of each folder are not taken, by reason; folders without any are left out."""
    found: dict[str, dict[str, int]] = {}
    for row in rows(
        db,
        """
        SELECT folder, reason, count FROM not_taken
        UNION ALL SELECT folder, 'lists', count(*) FROM lists WHERE sha256 = ? GROUP BY folder
        UNION ALL SELECT folder, 'addresses', count(*) FROM recordings
            WHERE state = 'failed' AND error_code = 'bad_address' GROUP BY folder
        """,
        (NOT_TAKEN,),
    ):
        found.setdefault(row["folder"], dict.fromkeys(REASONS, 0))[row["reason"]] += row["count"]
    return found


def files_not_taken(db: Database, folder: str) -> list[dict[str, Any]]:
    """Return files of a folder that are not taken: `path`, `reason`, `why`, `since`; some of each reason."""
    found = [
        {"path": path, "reason": row["reason"], "why": why, "since": since}
        for row in rows(db, "SELECT reason, files FROM not_taken WHERE folder = ?", (folder,))
        for path, why, since in json.loads(row["files"])
    ]
    found += rows(
        db,
        """
        SELECT path, 'addresses' AS reason, error AS why, first_seen_at AS since FROM recordings
        WHERE folder = ? AND state = 'failed' AND error_code = 'bad_address' ORDER BY id DESC LIMIT ?
        """,
        (folder, MOST_NAMES),
    )
    return sorted(found, key=lambda file: (REASONS.index(file["reason"]), file["path"]))
