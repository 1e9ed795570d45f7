"""Which recordings each filter finds, through one database with a few of each kind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from daemon.storage.connection import Database
from daemon.storage.database import memory_database
from daemon.storage.filters import ORDERS, Filters, matching_ids
from daemon.storage.unknown import unknown_names
from daemon.storage.views import count_recordings, list_recordings, recordings_named, search
from tests.databases import tables
from tests.storage.plans import plans


@pytest.fixture(scope="module")
def db() -> Iterator[Database]:
    with closing(memory_database()) as database:
        fill(database)
        yield database


def fill(db: Database) -> None:
    add(db, 1, "/srv/a", "one.wav", "done", recorded_at="2026-01-01T08:00:00.000Z", duration_seconds=60.0)
    add(db, 2, "/srv/a/sub", "two.wav", "failed", modified_at="2026-01-02T08:00:00.000Z")
    add(db, 3, "/srv/ab", "three.wav", "done", not_analyzed='{"topics": "language"}', duration_seconds=5.0)
    add(db, 4, "/srv/a", "four.wav", "waiting", path="/srv/a/deep/four.wav")
    db.execute("UPDATE recordings SET average_sentiment = 'negative', transcript = 'a refund' WHERE id = 1")
    db.execute(
        "UPDATE recordings SET metadata = ? WHERE id = 3", [json.dumps({"caller": "+49 151", 'a"b': "x"})]
    )
    labels = (("intents", "intent", 1, "Ask for [a] refund"), ("topics", "topic", 3, "Billing"))
    for table, label, recording_id, text in labels:
        tables(db).table(table).insert({"recording_id": recording_id, "position": 0, label: text})
    for recording_id, state in ((1, "sent"), (3, "suppressed")):
        alert = {"destination": "team", "target": 0, "created_at": "x", "title": "", "body": ""}
        tables(db).table("alerts").insert(alert | {"recording_id": recording_id, "state": state})


def add(db: Database, recording_id: int, folder: str, name: str, state: str, **more: Any) -> None:
    row = {"path": f"{folder}/{name}", "first_seen_at": f"2026-03-0{recording_id}T10:00:00.000Z"}
    known = {"id": recording_id, "folder": folder, "name": name, "state": state, "source": b"x"}
    tables(db).table("recordings").insert(row | known | more)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), [4, 3, 2, 1]),
        (Filters(ids=(1, 4, 99)), [4, 1]),
        (Filters(states=("failed", "waiting")), [4, 2]),
        (Filters(folder="/srv/a"), [4, 2, 1]),
        (Filters(folder="/srv/a/deep/"), [4]),
        (Filters(folder="/"), [4, 3, 2, 1]),
        (Filters(since="2026-03-03"), [4, 3]),
        (Filters(since="2026-03-02T10:00:00.000Z", until="2026-03-03T10:00:00.000Z"), [2]),
        (Filters(recorded_since="2026-01-01"), [2, 1]),
        (Filters(recorded_until="2026-01-02"), [1]),
        (Filters(sentiments=("negative", "neutral")), [1]),
        (Filters(intents=("*[A] REFUND", "nothing")), [1]),
        (Filters(intents=("refund",)), []),
        (Filters(topics=("bill?ng",)), [3]),
        (Filters(text="refunds*"), []),
        (Filters(text="refund*"), [1]),
        (Filters(text="three"), [3]),
        (Filters(where=(("caller", "+49*"),)), [3]),
        (Filters(where=(('a"b', "X"), ("caller", "*"))), [3]),
        (Filters(where=(("agent", "*"),)), []),
        (Filters(alerted=True), [1]),
        (Filters(not_analyzed=True), [3]),
        (Filters(states=("done",), folder="/srv/ab", not_analyzed=True, topics=("*",)), [3]),
    ],
)
def test_a_filter_finds_what_it_says(db: Database, filters: Filters, expected: list[int]) -> None:
    assert list(matching_ids(db, filters)) == expected
    assert [row["id"] for row in list_recordings(db, filters)] == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("recorded", [2, 1, 4, 3]),
        ("length", [1, 3, 4, 2]),
        ("sentiment", [4, 3, 2, 1]),
        ("name", [4, 1, 3, 2]),
    ],
)
def test_what_has_no_value_comes_last(db: Database, order: str, expected: list[int]) -> None:
    assert list(matching_ids(db, Filters(), order=order)) == expected
    assert list(matching_ids(db, Filters(), order=order, limit=2)) == expected[:2]


def test_a_search_heeds_the_filters_too(db: Database) -> None:
    assert [row["id"] for row in search(db, "wav", 10)] == [4, 3, 2, 1]
    assert [row["id"] for row in search(db, "wav", 10, Filters(folder="/srv/ab"))] == [3]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["columns", "others", "text"])
def test_nothing_reads_through_the_texts_to_filter_or_order(db: Database, kind: str, order: str) -> None:
    of_columns = Filters(
        states=("done",),
        folder="/srv",
        since="2026",
        until="2027",
        recorded_since="2026",
        recorded_until="2027",
        sentiments=("negative",),
        made_since="2026",
        made_until="2027",
        no_sentiment=True,
    )
    others = Filters(intents=("*",), topics=("*",), where=(("caller", "*"),), alerted=True, not_analyzed=True)
    wanted = {"columns": of_columns, "others": others, "text": Filters(text="refund", rule="unhappy")}[kind]
    steps = plans(db, lambda: matching_ids(db, wanted, order=order))
    steps += plans(db, lambda: count_recordings(db, wanted))
    read = [step for step in steps if " recordings " in step and "recordings_not_analyzed" not in step]
    assert {step.partition(" (")[0].partition(" ")[2] for step in read} == {
        "recordings USING COVERING INDEX recordings_facts"
    }


def test_a_name_is_found_without_reading_through_the_texts(db: Database) -> None:
    steps = plans(db, lambda: recordings_named(db, "one.wav", "/one.wav"))
    assert {*steps} == {"SCAN recordings USING COVERING INDEX recordings_facts"}


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"folder": "/srv/a"}, []),
        ({"folder": "/srv"}, []),
        ({"folder": "/srv/a/deep"}, []),
        ({"folder": "/srv/new/"}, []),
        ({"folder": "/srv/abc"}, ["nothing has come from a folder /srv/abc; did you mean /srv/ab?"]),
        ({"intents": ("*refund", "ask*")}, []),
        (
            {"intents": ("refnud", "ask*")},
            ["no intent is like refnud; did you mean Ask for [a] refund?"],
        ),
        ({"topics": ("zebra",)}, ["no topic is like zebra; there are Billing"]),
        ({"where": (("caller", "+49*"),)}, []),
        ({"where": (("calller", "x"),)}, ["no recording has metadata called calller; did you mean caller?"]),
        ({"where": (("caller", "151"),)}, ["no caller is like 151; did you mean +49 151?"]),
    ],
)
def test_what_a_filter_names_and_is_not_there_is_said_with_the_nearest(
    db: Database, named: dict[str, Any], expected: list[str]
) -> None:
    assert list(unknown_names(db, Filters(**named), ["/srv/new/"])) == expected
