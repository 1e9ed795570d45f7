"""Troubles as rows, and what an upgrade makes of those of an earlier version."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from daemon.storage.database import open_database
from daemon.storage.operations import troubles
from tests.databases import tables
from tests.storage.stores import schema_before

MORNING, NOON = "2026-03-01T08:00:00.000Z", "2026-03-01T12:00:00.000Z"


def test_what_was_told_before_an_upgrade_is_not_told_again(tmp_path: Path) -> None:
    path = tmp_path / "earshot.db"
    with closing(open_database(path, schema=schema_before(tmp_path, "007"))) as db:
        db.execute(
            "INSERT INTO notices (cause, subject, since, told_at)"
            " VALUES ('folder', '/r', ?, ?), ('silent', '/r', ?, NULL)",
            (MORNING, NOON, NOON),
        )
        db.execute(
            "INSERT INTO pauses (cause, reason, since, next_probe_at, probe_seconds)"
            " VALUES ('key', 'refused', ?, ?, 300), ('service', 'down', ?, ?, 2)",
            (MORNING, NOON, NOON, NOON),
        )
        db.execute(
            "INSERT INTO alerts (destination, target, state, created_at, title, body) VALUES"
            " ('ops', 0, 'sent', ?, '[critical] earshot paused - the API key is refused', 'why'),"
            " ('ops', 0, 'sent', ?, '[critical] earshot paused - the service is down', 'an earlier one')",
            (NOON, MORNING),
        )
    with closing(open_database(path)) as db:
        found = [(each.cause, each.subject, each.since, each.told_at) for each in troubles(db)]
        assert "notices" not in tables(db).table_names()
    assert sorted(found, key=str) == [
        ("folder", "/r", MORNING, NOON),
        ("key", "", MORNING, NOON),
        ("service", "", NOON, None),
        ("silent", "/r", NOON, None),
    ]
