"""The outbox in a real database: what is stored, what is due, and how an alert leaves it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import UsageError
from daemon.models import AlertDraft, AlertState
from daemon.storage.connection import Database
from daemon.storage.database import rows, transaction
from daemon.storage.outbox import (
    add_alerts,
    add_messages,
    alert_counts,
    alert_failed,
    alert_retry,
    alert_sent,
    next_alert,
    retry_alert,
    seconds_until_due,
)
from tests.alerts.examples import add_recording
from tests.databases import new_database

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    db = new_database(tmp_path / "earshot.db")
    yield db
    db.close()


def draft(**changes: Any) -> AlertDraft:
    values: dict[str, Any] = {
        "destination": "team",
        "target": 0,
        "rules": ("unhappy caller",),
        "severity": "warning",
        "state": AlertState.PENDING,
        "reason": None,
        "title": "[warning] unhappy caller - call.wav",
        "body": "unhappy caller: average -0.52",
    }
    return AlertDraft(**(values | changes))


def add(db: Database, *drafts: AlertDraft, recording_id: int | None = None) -> list[int]:
    with transaction(db):
        return add_alerts(db, recording_id or add_recording(db), drafts or [draft()], NOW)


def row(db: Database, alert_id: int) -> dict[str, Any]:
    (found,) = rows(db, "SELECT * FROM alerts WHERE id = ?", (alert_id,))
    return found


def test_an_alert_is_stored_with_its_ids_in_the_last_line(db: Database) -> None:
    first, second = add(db, draft(), draft(target=1, state=AlertState.SUPPRESSED, reason="age"))
    stored = row(db, first)
    assert stored["body"] == f"unhappy caller: average -0.52\n\nearshot alert {first}, recording 1"
    assert stored["rules"] == '["unhappy caller"]'
    assert (stored["state"], stored["attempts"], stored["created_at"]) == (
        "pending", 0, "2026-03-01T12:00:00.000Z",
    )  # fmt: skip
    assert (row(db, second)["state"], row(db, second)["reason"]) == ("suppressed", "age")


def test_a_rolled_back_result_leaves_no_alert(db: Database) -> None:
    with pytest.raises(RuntimeError), transaction(db):
        add_alerts(db, add_recording(db), [draft()], NOW)
        raise RuntimeError
    assert alert_counts(db) == {"pending": 0, "sent": 0, "failed": 0, "suppressed": 0}


def test_a_recording_alerts_a_target_only_once(db: Database) -> None:
    (first,) = add(db)
    assert add(db, draft(title="again"), draft(target=1), recording_id=1) != [first]
    assert [each["title"] for each in rows(db, "SELECT title FROM alerts ORDER BY id")] == [draft().title] * 2
    assert alert_counts(db)["pending"] == 2


def test_only_pending_alerts_of_that_target_are_due(db: Database) -> None:
    add(db, draft(destination="other"), draft(target=1), draft(state=AlertState.SUPPRESSED, reason="quiet"))
    assert next_alert(db, "team", 0, NOW) is None
    assert seconds_until_due(db, "team", 0, NOW) is None
    (mine,) = add(db)
    due = next_alert(db, "team", 0, NOW)
    assert due is not None
    assert (due.id, due.recording_id, due.attempts, due.title) == (mine, 2, 0, draft().title)
    assert due.body.endswith(f"earshot alert {mine}, recording 2")
    assert seconds_until_due(db, "team", 0, NOW) == 0.0


def test_a_failed_attempt_waits_and_lets_the_others_go_first(db: Database) -> None:
    (refused,), (fresh,) = add(db), add(db)
    with transaction(db):
        alert_retry(db, refused, "the service answered 400", NOW + timedelta(seconds=2))
    assert _next_id(db, NOW) == fresh
    assert _next_id(db, NOW + timedelta(seconds=2)) == fresh, "tried less often, so it goes first"
    with transaction(db):
        alert_sent(db, fresh, NOW)
    assert _next_id(db, NOW) is None
    assert seconds_until_due(db, "team", 0, NOW) == 2.0
    assert _next_id(db, NOW + timedelta(seconds=2)) == refused
    assert (row(db, refused)["attempts"], row(db, refused)["error"]) == (1, "the service answered 400")


def test_a_wait_from_before_the_clock_was_set_back_is_over(db: Database) -> None:
    (waiting,) = add(db)
    with transaction(db):
        alert_retry(db, waiting, "x", NOW)
    assert _next_id(db, NOW - timedelta(days=2)) == waiting
    assert seconds_until_due(db, "team", 0, NOW - timedelta(days=2)) == 0.0
    assert _next_id(db, NOW - timedelta(hours=24)) is None, "quiet hours may last that long"


def test_a_sent_alert_keeps_no_error(db: Database) -> None:
    (sent,) = add(db)
    with transaction(db):
        alert_retry(db, sent, "no connection", NOW)
        alert_sent(db, sent, NOW + timedelta(seconds=3))
    stored = row(db, sent)
    assert (stored["state"], stored["sent_at"]) == ("sent", "2026-03-01T12:00:03.000Z")
    assert (stored["attempts"], stored["error"], stored["not_before"]) == (2, None, None)


def test_failed_and_suppressed_alerts_can_be_retried(db: Database) -> None:
    failed, suppressed = add(db, draft(), draft(target=1, state=AlertState.SUPPRESSED, reason="age"))
    with transaction(db):
        alert_failed(db, failed, "gone")
    assert alert_counts(db) == {"pending": 0, "sent": 0, "failed": 1, "suppressed": 1}
    for each in (failed, suppressed):
        retry_alert(db, each, NOW)
        stored = row(db, each)
        assert (stored["state"], stored["reason"], stored["attempts"]) == ("pending", None, 0)
    assert _next_id(db, NOW) == failed


def test_a_retry_that_makes_no_sense_says_why(db: Database) -> None:
    (alert,) = add(db)
    with transaction(db):
        alert_sent(db, alert, NOW)
    with pytest.raises(UsageError, match=f"alert {alert} is sent"):
        retry_alert(db, alert, NOW)
    with pytest.raises(UsageError, match="there is no alert 99"):
        retry_alert(db, 99, NOW)


def test_operations_alerts_have_no_recording_and_may_come_again(db: Database) -> None:
    drafts = [AlertDraft("ops", target, "critical", "title", "body") for target in (0, 1)]
    with transaction(db):
        add_messages(db, drafts, NOW)
        ids = add_messages(db, drafts, NOW)
    stored = row(db, ids[0])
    assert (stored["recording_id"], stored["severity"], stored["rules"]) == (None, "critical", "[]")
    assert stored["body"] == f"body\n\nearshot alert {ids[0]}"
    assert alert_counts(db)["pending"] == 4


def _next_id(db: Database, now: datetime) -> int | None:
    due = next_alert(db, "team", 0, now)
    return due.id if due else None
