"""Verdicts of people: one an alert, the last one counts, and each rule has its share."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlite_utils

from daemon.errors import UsageError
from daemon.models import AlertDraft
from daemon.storage.connection import Database
from daemon.storage.database import open_database, rows
from daemon.storage.outbox import add_alerts
from daemon.storage.verdicts import Verdict, Verdicts, give_verdict, verdict_of, verdicts_by_rule
from tests.databases import tables
from tests.storage.stores import add, committed, schema_before

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ADD = (
    "INSERT INTO alerts (destination, target, rules, state, created_at, title, body)"
    " VALUES ('team', 0, ?, 'sent', '2026-03-01T12:00:00.000Z', 'T', 'B')"
)


def test_the_last_verdict_of_an_alert_counts(db: Database) -> None:
    db.execute(ADD, ("[]",))
    assert verdict_of(db, 1) is None
    give_verdict(db, 1, Verdict.NOISE, NOW)
    give_verdict(db, 1, Verdict.USEFUL, NOW)
    assert verdict_of(db, 1) == "useful"
    found = db.execute("SELECT alert_id, verdict, given_at FROM verdicts").fetchall()
    assert found == [(1, "useful", "2026-03-01T12:00:00.000Z")]


def test_an_unknown_alert_is_refused(db: Database) -> None:
    with pytest.raises(UsageError, match="there is no alert 7"):
        give_verdict(db, 7, Verdict.USEFUL, NOW)


def test_a_verdict_counts_for_every_rule_of_its_alert(db: Database) -> None:
    for rules in ('["a"]', '["a", "b"]', '["b"]', '["a"]', "[]"):
        db.execute(ADD, (rules,))
    assert verdicts_by_rule(db) == {}
    for alert, verdict in ((1, Verdict.USEFUL), (2, Verdict.USEFUL), (3, Verdict.NOISE), (5, Verdict.NOISE)):
        give_verdict(db, alert, verdict, NOW)
    assert verdicts_by_rule(db) == {"a": Verdicts(2, 2), "b": Verdicts(1, 2)}
    assert verdicts_by_rule(db)["b"].precision == 0.5
    assert Verdicts().precision is None


def test_a_database_from_before_is_copied_and_then_has_the_table(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(open_database(path, schema=schema_before(tmp_path, "002"))) as old:
        old.execute(ADD, ('["a"]',))
        assert "verdicts" not in tables(old).table_names()
    with closing(open_database(path)) as db:
        give_verdict(db, 1, Verdict.NOISE, NOW)
        assert verdicts_by_rule(db) == {"a": Verdicts(0, 1)}
    (copy,) = tmp_path.glob("old.db.before-*")
    with closing(sqlite_utils.Database(copy)) as before:
        assert "verdicts" not in before.table_names()
        assert before.execute("SELECT count(*) FROM alerts").fetchone() == (1,)


def test_an_upgrade_keeps_alerts_their_ids_and_their_verdicts(tmp_path: Path) -> None:
    """Also the ids of alerts that were deleted, which no other gets."""
    path = tmp_path / "state" / "earshot.db"
    with closing(open_database(path, schema=schema_before(tmp_path, "021"))) as db:
        (recording,) = add(db)
        for number in (1, 2, 3):
            db.execute(
                "INSERT INTO alerts (id, recording_id, destination, target, rules, state, created_at, title,"
                " body) VALUES (?, ?, 'team', ?, '[\"a\"]', 'sent', '', 'T', 'B')",
                (number, recording, number),
            )
        db.execute("INSERT INTO verdicts (alert_id, verdict, given_at) VALUES (2, 'noise', '')")
        db.execute("DELETE FROM alerts WHERE id = 3")
    with closing(open_database(path)) as db:
        assert [row["id"] for row in rows(db, "SELECT id FROM alerts")] == [1, 2]
        assert verdicts_by_rule(db)["a"].total == 1
        draft = AlertDraft("team", 1, "info", "T", "B", rules=("b",))
        assert committed(add_alerts, db, recording, [draft], NOW) == [4]
        assert rows(db, "PRAGMA foreign_key_check") == []
        db.execute("DELETE FROM alerts WHERE id = 2")
        assert verdicts_by_rule(db) == {}
