"""Figures of recordings by group: what counts, when, and by whose clocks."""

from __future__ import annotations

import json
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from daemon.storage.connection import Database
from daemon.storage.filters import Filters
from daemon.storage.stats import MOST_LABELS, stats_by, totals
from daemon.storage.verdicts import Verdict, give_verdict
from tests.storage.stores import NOW

BERLIN = ZoneInfo("Europe/Berlin")
EVERYTHING = Filters()
SEEN = "2026-03-01T10:00:00.000Z"


def put(db: Database, **columns: Any) -> int:
    """A recording that is done, or as the columns say; returns its id."""
    row = {"path": "p", "name": "n", "state": "done", "first_seen_at": SEEN, "source": b"", "folder": "/a"}
    row |= {"metadata": json.dumps(columns.pop("metadata", {}))} | columns
    places = ", ".join(f":{name}" for name in row)
    sql = f"INSERT INTO recordings ({', '.join(row)}) VALUES ({places}) RETURNING id"  # noqa: S608
    return int(db.execute(sql, row).fetchone()[0])


def alert(db: Database, recording_id: int, target: int, state: str, verdict: Verdict | None = None) -> None:
    (number,) = db.execute(
        "INSERT INTO alerts (recording_id, destination, target, state, created_at, title, body)"
        " VALUES (?, 'team', ?, ?, ?, '', '') RETURNING id",
        (recording_id, target, state, SEEN),
    ).fetchone()
    if verdict is not None:
        give_verdict(db, number, verdict, NOW)


def label(db: Database, table: str, recording_id: int, *labels: str | None) -> None:
    column = table.removesuffix("s")
    for position, text in enumerate(labels):
        db.execute(
            f"INSERT INTO {table} (recording_id, position, {column}) VALUES (?, ?, ?)",  # noqa: S608
            (recording_id, position, text),
        )


def keys(db: Database, group: str, filters: Filters = EVERYTHING) -> dict[str | None, int]:
    return {row["key"]: row["recordings"] for row in stats_by(db, group, filters, BERLIN)}


def test_a_group_has_the_figures_of_its_recordings(db: Database) -> None:
    scored = {"average_sentiment": "negative", "average_sentiment_score": -0.6, "duration_seconds": 60.0}
    first = put(db, metadata={"agent": "ann"}, **scored)
    second = put(
        db,
        metadata={"agent": "ann"},
        average_sentiment="neutral",
        average_sentiment_score=0.2,
        duration_seconds=30.0,
    )
    put(db, metadata={"agent": "ann"})
    put(db, metadata={"agent": "bob"})
    put(db)
    alert(db, first, 0, "sent", Verdict.USEFUL)
    alert(db, first, 1, "pending", Verdict.NOISE)
    alert(db, second, 0, "failed")
    alert(db, second, 1, "suppressed")
    label(db, "intents", first, "Cancel", "cancel", "refund")
    label(db, "intents", second, "cancel", None)
    label(db, "topics", first, *(f"topic {number}" for number in range(9)))
    ann, *others = stats_by(db, "metadata.agent", EVERYTHING, BERLIN)
    topics = ann.pop("topics")
    assert ann == {
        "key": "ann",
        "recordings": 3,
        "seconds": 90.0,
        "scored": 2,
        "average": pytest.approx(-0.2),
        "negative_share": 0.5,
        "intents": [{"intent": "Cancel", "recordings": 2}, {"intent": "refund", "recordings": 1}],
        "alerts": 3,
        "judged": 2,
        "useful": 1,
        "precision": 0.5,
        "days": [{"day": "2026-03-01", "recordings": 3, "average": pytest.approx(-0.2)}],
    }
    assert topics == [{"topic": f"topic {number}", "recordings": 1} for number in range(MOST_LABELS)]
    assert [row["key"] for row in others] == [None, "bob"]
    assert (others[0]["average"], others[0]["negative_share"], others[0]["precision"]) == (None, None, None)
    (everything,) = stats_by(db, None, EVERYTHING, BERLIN)
    assert totals(db, EVERYTHING).items() <= everything.items()


def test_days_and_weeks_are_those_of_the_time_zone_also_when_its_clocks_change(db: Database) -> None:
    for at in (
        "2026-03-28T22:59:59.000Z",  # 23:59 on Saturday, winter time
        "2026-03-28T23:00:00.000Z",  # 00:00 on Sunday, the day that has 23 hours
        "2026-03-29T21:59:59.000Z",  # 23:59 on that day, by summer time
        "2026-03-29T22:00:00.000Z",  # 00:00 on Monday
        "2026-10-24T22:00:00.000Z",  # 00:00 on the day that has 25 hours
        "2026-10-25T22:59:59.000Z",  # 23:59 on it
        "2027-01-03T22:00:00.000Z",  # the last Sunday of the last week of 2026
    ):
        put(db, recorded_at=at)
    assert keys(db, "day") == {
        "2026-03-28": 1,
        "2026-03-29": 2,
        "2026-03-30": 1,
        "2026-10-25": 2,
        "2027-01-03": 1,
    }
    assert keys(db, "week") == {"2026-W13": 3, "2026-W14": 1, "2026-W43": 2, "2026-W53": 1}


def test_a_recording_counts_when_it_was_made_as_far_as_that_is_known(db: Database) -> None:
    put(db, recorded_at="2026-01-01T12:00:00.000Z", modified_at="2026-01-02T12:00:00.000Z")
    put(db, modified_at="2026-01-02T12:00:00.000Z")
    put(db)
    assert list(keys(db, "day")) == ["2026-01-01", "2026-01-02", "2026-03-01"]


def test_only_what_is_done_counts_unless_other_states_are_wanted(db: Database) -> None:
    for state in ("done", "failed", "failed", "duplicate"):
        put(db, state=state, folder=f"/{state}")
    assert keys(db, "folder") == {"/done": 1}
    assert keys(db, "folder", Filters(states=("failed", "duplicate"))) == {"/failed": 2, "/duplicate": 1}
    assert keys(db, "folder", Filters(folder="/failed", states=("failed",))) == {"/failed": 2}


def test_nothing_is_one_row_of_nothing_or_no_group(db: Database) -> None:
    (row,) = stats_by(db, None, EVERYTHING, BERLIN)
    assert (row["recordings"], row["seconds"], row["average"], row["alerts"], row["days"]) == (
        0,
        0.0,
        None,
        0,
        [],
    )
    assert stats_by(db, "folder", EVERYTHING, BERLIN) == []


def test_names_that_speak_of_the_ends_of_time_break_nothing(db: Database) -> None:
    for at in ("0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.000Z"):
        put(db, recorded_at=at)
    for zone in ("America/Los_Angeles", "Asia/Tokyo"):
        found = stats_by(db, "day", EVERYTHING, ZoneInfo(zone))
        assert [row["recordings"] for row in found] == [1, 1]
