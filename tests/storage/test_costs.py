"""Costs: a row for each request that may have been billed, and the sums that people ask for."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from daemon.models import Cost, Ending, RecordingState, iso
from daemon.storage.connection import Database
from daemon.storage.costs import add_cost, costs_by, spent
from daemon.storage.database import open_database, rows
from daemon.storage.queue import claim, end, recover
from daemon.storage.requests import begin_request, count_doubtful, end_request
from daemon.storage.results import store_result
from tests.alerts.examples import analysis
from tests.storage.stores import NOW, add, committed, later, schema_before

BERLIN = ZoneInfo("Europe/Berlin")
LISTED = Cost("nova-3", 60.0, 1, 300, 40, 0.0044, "2026-08-10")
EXPECTED = Cost("nova-3", 58.0, 1, None, None, 0.0045, "2026-08-10")


def cost_rows(db: Database) -> list[dict[str, object]]:
    return rows(db, "SELECT * FROM costs ORDER BY id")


def sending(db: Database, folder: str = "/r") -> int:
    """A recording whose request is under way; returns the request's id."""
    add(db, folder=folder)
    recording = committed(claim, db, NOW)
    assert recording is not None
    known = {"sha256": str(recording.id), "size_bytes": 1, "request_key": ""}
    _, request = committed(begin_request, db, recording, **known, expected=EXPECTED, now=NOW)
    return request


def test_a_result_brings_what_it_cost(db: Database) -> None:
    (number,) = add(db, folder="/srv/a")
    committed(store_result, db, number, replace(analysis(), cost=LISTED), now=NOW)
    (row,) = cost_rows(db)
    assert row == {"id": 1, "recording_id": number, "folder": "/srv/a", "at": iso(NOW)} | asdict(LISTED)


def test_a_lost_reply_costs_what_was_expected(db: Database) -> None:
    request = sending(db)
    committed(count_doubtful, db, 1, request, later(5))
    (row,) = cost_rows(db)
    assert (row["usd"], row["seconds"], row["input_tokens"]) == (0.0045, 58.0, None)


def test_a_crash_costs_what_was_in_flight_once(db: Database) -> None:
    sending(db)
    sending(db)
    committed(recover, db, later(5))
    committed(recover, db, later(9))
    assert [row["usd"] for row in cost_rows(db)] == [0.0045, 0.0045]


def test_a_reply_that_no_result_comes_from_is_counted_when_its_recording_fails(db: Database) -> None:
    request = sending(db)
    committed(end_request, db, request, outcome="received", now=NOW)
    committed(end, db, 1, Ending(RecordingState.FAILED, "gave_up", "its parts never came"), later(5))
    committed(end, db, 1, Ending(RecordingState.FAILED, "gave_up", "again"), later(6))
    assert [row["usd"] for row in cost_rows(db)] == [0.0045]


def test_a_result_is_not_counted_again_when_its_recording_is_asked_for_anew_and_fails(db: Database) -> None:
    request = sending(db)
    committed(end_request, db, request, outcome="received", now=NOW)
    committed(store_result, db, 1, replace(analysis(), cost=LISTED), now=NOW)
    committed(end, db, 1, Ending(RecordingState.FAILED, "gone", "it is gone"), later(5))
    assert [row["usd"] for row in cost_rows(db)] == [0.0044]


def test_what_was_spent_stays_when_its_recording_goes(db: Database) -> None:
    (number,) = add(db)
    committed(add_cost, db, number, LISTED, NOW)
    db.execute("DELETE FROM files")
    db.execute("DELETE FROM recordings")
    assert [(row["recording_id"], row["folder"], row["usd"]) for row in cost_rows(db)] == [
        (None, "/r", 0.0044)
    ]


@pytest.mark.parametrize(
    ("group", "keys"),
    [
        ("folder", {"/a": 2, "/b": 1}),
        ("model", {"nova-3": 2, "nova-2": 1}),
        # 22:30 UTC is the next day in summer, and the next month.
        ("day", {"2026-07-31": 1, "2026-08-01": 2}),
        ("month", {"2026-07": 1, "2026-08": 2}),
        ("metadata.agent", {"ann": 1, None: 2}),
    ],
)
def test_costs_are_summed_by_what_is_asked_for(db: Database, group: str, keys: dict[str | None, int]) -> None:
    first, second = add(db, 2, folder="/a")
    (third,) = add(db, folder="/b")
    db.execute("""UPDATE recordings SET metadata = '{"agent": "ann"}' WHERE id = ?""", (first,))
    nova_2 = Cost("nova-2", 60.0, 1, 0, 0, None, None)
    for number, at, cost in (
        (first, "2026-07-31T12:00:00+00:00", LISTED),
        (second, "2026-07-31T22:30:00+00:00", LISTED),
        (third, "2026-08-01T12:00:00+00:00", nova_2),
    ):
        committed(add_cost, db, number, cost, datetime.fromisoformat(at))
    found = costs_by(db, group, None, BERLIN)
    assert {row["key"]: row["requests"] for row in found} == keys
    assert sum(row["usd"] for row in found) == pytest.approx(0.0088)
    assert sum(row["unpriced"] for row in found) == 1
    assert sum(row["seconds"] for row in found) == 180
    assert len(costs_by(db, "day", "2026-07-31T22:00:00.000Z", BERLIN)) == 1


def test_what_was_spent_since_a_moment(db: Database) -> None:
    (number,) = add(db)
    for seconds in (0, 10, 20):
        committed(add_cost, db, number, LISTED, later(seconds))
    assert spent(db, later(10), later(100)) == pytest.approx(0.0088)
    assert spent(db, later(30), later(100)) == 0.0
    assert spent(db, later(-100), later(10)) == pytest.approx(0.0044)


def test_an_older_database_knows_what_was_spent_before(tmp_path: Path) -> None:
    path = tmp_path / "state" / "earshot.db"
    with closing(open_database(path, schema=schema_before(tmp_path, "009"))) as db:
        for number, usd in ((1, 0.5), (2, 0.5), (3, None)):
            db.execute(
                "INSERT INTO recordings (id, path, folder, name, source, state, first_seen_at, analyzed_at,"
                " duration_seconds, estimated_cost_usd)"
                " VALUES (?, '/r/a', '/r', 'a', x'2f', 'done', ?, ?, 9, ?)",
                (number, iso(NOW), iso(NOW), usd),
            )
    with closing(open_database(path)) as db:
        found = cost_rows(db)
        assert [(row["recording_id"], row["at"], row["usd"]) for row in found] == [
            (number, iso(NOW), 0.5) for number in (1, 2)
        ]
        assert found[0]["folder"] == "/r"
