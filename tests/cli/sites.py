"""A configured earshot for tests: files of its own, and a database that is filled through SQL."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import daemon
from tests.databases import new_database

PACKAGE_ROOT = Path(daemon.__file__).parents[1]
SEEN_AT = "2026-03-01T10:00:00.000Z"
KEY = "0123456789abcdef-the-key"

PUBLIC_COLUMNS = [
    *("id", "path", "folder", "name", "size_bytes", "modified_at", "sha256", "state", "attempts"),
    *("possibly_billed", "not_before", "error_code", "error", "duplicate_of", "first_seen_at"),
    *("analyzed_at", "recorded_at", "tags", "metadata", "request_id", "model", "language"),
    *("duration_seconds", "channels", "confidence", "transcript", "summary", "average_sentiment"),
    *("average_sentiment_score", "not_analyzed", "estimated_cost_usd", "protected"),
    "original_deleted_at",
]
"""Of `recordings`, as the documentation names them."""


class Site:
    """A folder with a configuration, a watched folder, and a database that is created when first filled."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.watched = home / "calls"
        self.watched.mkdir()
        self.database = home / "state" / "earshot.db"
        self.config = home / "config.yaml"
        self.configure()

    def configure(self, **sections: Any) -> None:
        """Write the configuration; JSON is YAML."""
        content = {
            "database": str(self.database),
            "watch": [str(self.watched)],
            "analyzer": {"api_key": KEY, "base_url": "http://127.0.0.1:9"},
        }
        self.config.write_text(json.dumps(content | sections, indent=2))

    def sql(self, statement: str, *values: Any) -> list[dict[str, Any]]:
        """Run one statement on the database and return what it gives."""
        with closing(new_database(self.database)) as db:
            found = db.execute(statement, values)
            names = [column[0] for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found]

    def add(self, table: str, **row: Any) -> None:
        """Insert a row; lists and mappings as JSON, what a recording must have filled in."""
        if table == "recordings":
            name = row.setdefault("name", f"call-{row.get('id', 0)}.wav")
            row.setdefault("path", f"{self.watched}/{name}")
            row = {"folder": str(self.watched), "source": b"x", "first_seen_at": SEEN_AT} | row
        if table == "alerts":
            row = {"destination": "team", "target": 0, "created_at": SEEN_AT, "title": "T", "body": "B"} | row
        values = [json.dumps(value) if isinstance(value, list | dict) else value for value in row.values()]
        places = ", ".join("?" for _ in row)
        self.sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *values)  # noqa: S608


def environment(**more: str) -> dict[str, str]:
    """A user's environment without anything of this machine that earshot would read."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")}
    return kept | {"PYTHONPATH": str(PACKAGE_ROOT), "TZ": "UTC", "COLUMNS": "80"} | more
