"""What the configuration keeps no longer is removed at night, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.config.models import Config
from daemon.models import Target, iso
from daemon.periodic.operations import tell_troubles
from daemon.periodic.retention import retention
from daemon.storage.connection import Database
from daemon.storage.database import open_database, rows, transaction
from daemon.storage.purge import BATCH
from daemon.storage.webhooks import Subscription, configure_webhooks
from tests.databases import new_database, tables, writing_connection
from tests.harness import ScriptedApi, running

NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)
WORDS = "kryptonite beneath hydrangeas"


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with closing(new_database(tmp_path / "earshot.db")) as database:
        yield database


def add(db: Database, name: str, days: float, *, folder: str = "/a", state: str = "done", **more: Any) -> int:
    """A recording with everything that was analyzed so many days before NOW."""
    at = iso(NOW - timedelta(days=days))
    values = {
        "path": f"{folder}/{name}",
        "name": name,
        "folder": folder,
        "state": state,
        "source": f"{folder}/{name}".encode(),
        "first_seen_at": at,
        "analyzed_at": at if state == "done" else None,
        "transcript": WORDS,
        "summary": WORDS,
        "average_sentiment_score": -0.5,
    } | more
    number = int(str(tables(db).table("recordings").insert(values).last_pk))
    tables(db).table("sentiments").insert(
        {"recording_id": number, "position": 0, "text": WORDS, "sentiment_score": -0.5}
    )
    tables(db).table("responses").insert(
        {"recording_id": number, "received_at": at, "kind": "listen", "body": b"x"}
    )
    tables(db).table("alerts").insert(
        {
            "recording_id": number,
            "destination": "team",
            "target": 0,
            "state": "sent",
            "created_at": at,
            "title": "t",
            "body": WORDS,
        }
    )
    return number


def run(db: Database, tmp_path: Path, now: datetime = NOW, **kept: Any) -> None:
    """A whole night."""
    folders = kept.pop("folders", {"/a": {}, "/b": {}})
    watch = [{"path": path, "retention": own} for path, own in folders.items()]
    config = Config.model_validate({"database": tmp_path / "earshot.db", "watch": watch, "retention": kept})
    look = retention(config, clock=lambda: now)
    while look(db) < 1:
        pass


def names(db: Database) -> set[str]:
    return {row["name"] for row in rows(db, "SELECT name FROM recordings")}


def count(db: Database, table: str) -> int:
    return int(rows(db, f"SELECT count(*) AS n FROM {table}")[0]["n"])  # noqa: S608


def test_without_a_word_in_the_configuration_everything_stays(db: Database, tmp_path: Path) -> None:
    add(db, "old", 3000)
    run(db, tmp_path)
    assert names(db) == {"old"}
    assert count(db, "erasures") == 0


def test_recordings_go_when_they_are_over_and_have_ended_and_are_not_protected(
    db: Database, tmp_path: Path
) -> None:
    add(db, "old", 31)
    add(db, "young", 29)
    add(db, "failed", 31, state="failed")
    for state in ("waiting", "analyzing"):
        add(db, state, 31, state=state)
    add(db, "protected", 31, protected=1)
    add(db, "left alone", 31, state="skipped", error_code="existing")
    pending = add(db, "to be told", 31)
    db.execute("UPDATE alerts SET state = 'pending' WHERE recording_id = ?", (pending,))
    moving = add(db, "to be moved", 31)
    db.execute("INSERT INTO originals (recording_id, folder, outcome) VALUES (?, '/a', 'success')", (moving,))

    run(db, tmp_path, recordings="30d")

    stay = {"young", "waiting", "analyzing", "protected", "left alone", "to be told", "to be moved"}
    assert names(db) == stay
    [note] = rows(db, "SELECT * FROM erasures")
    assert (note["recordings"], note["by"], note["why"]) == (2, "retention", "recordings")
    assert note["swept_at"]


def test_a_folder_may_keep_things_longer_or_shorter(db: Database, tmp_path: Path) -> None:
    for folder in ("/a", "/b", "/gone"):
        add(db, f"10{folder}", 10, folder=folder)
        add(db, f"40{folder}", 40, folder=folder)
    folders = {"/a": {"recordings": "5d"}, "/b": {"recordings": "90d"}}
    run(db, tmp_path, recordings="30d", folders=folders)
    assert names(db) == {"10/b", "40/b", "10/gone"}


def test_a_message_that_nobody_sends_any_more_keeps_no_recording(db: Database, tmp_path: Path) -> None:
    with transaction(db):
        configure_webhooks(db, [Subscription("crm", ("done",), transcript=False)])
        for name in ("crm", "old crm"):
            number = add(db, name, 31)
            db.execute(
                "INSERT INTO webhooks (recording_id, destination, event, message_id, created_at, body)"
                " VALUES (?, ?, 'done', ?, '2026', '')",
                (number, name, name),
            )
    run(db, tmp_path, recordings="30d")
    assert names(db) == {"crm"}
    assert rows(db, "SELECT destination FROM webhooks") == [{"destination": "crm"}]


def test_on_a_slow_disk_each_transaction_removes_less(db: Database, tmp_path: Path) -> None:
    for number in range(40):
        add(db, f"{number}", 31)
    sizes: list[int] = []

    def slowly() -> None:
        sizes[-1] += 1
        time.sleep(0.02)

    # Whatever is deleted takes long, as on a disk that has to seek for it.
    connection = writing_connection(db)
    connection.create_function("slowly", 0, slowly)
    connection.execute("CREATE TEMP TRIGGER slow AFTER DELETE ON main.recordings BEGIN SELECT slowly(); END")
    connection.set_trace_callback(lambda sql: sizes.append(0) if sql.startswith("BEGIN") else None)
    run(db, tmp_path, recordings="30d")
    assert names(db) == set()
    assert [size for size in sizes if size][:2] == [BATCH, BATCH // 2]


def test_what_was_said_goes_and_numbers_stay(db: Database, tmp_path: Path) -> None:
    add(db, "old", 31)
    run(db, tmp_path, transcripts="30d")
    [row] = rows(db, "SELECT transcript, summary, average_sentiment_score FROM recordings")
    assert row == {"transcript": None, "summary": None, "average_sentiment_score": -0.5}
    assert rows(db, "SELECT text, sentiment_score FROM sentiments") == [
        {"text": None, "sentiment_score": -0.5}
    ]
    assert count(db, "responses") == 0
    assert count(db, "alerts") == 1
    wal = tmp_path / "earshot.db-wal"
    assert b"krypton" not in (tmp_path / "earshot.db").read_bytes() + wal.read_bytes()


def test_replies_and_alerts_have_times_of_their_own(db: Database, tmp_path: Path) -> None:
    add(db, "old", 31)
    add(db, "young", 29)
    tables(db).table("alerts").insert(
        {"destination": "ops", "target": 0, "state": "sent", "created_at": "2020", "title": "", "body": ""}
    )
    run(db, tmp_path, responses="30d", alerts="30d")
    assert names(db) == {"old", "young"}
    assert count(db, "responses") == count(db, "alerts") == 1


def test_what_is_deleted_by_hand_is_swept_up(db: Database, tmp_path: Path) -> None:
    add(db, "old", 1)
    db.execute("DELETE FROM recordings")
    run(db, tmp_path)
    run(db, tmp_path)
    assert rows(db, "SELECT by FROM erasures WHERE swept_at IS NOT NULL") == [{"by": "hand"}]
    assert b"krypton" not in (tmp_path / "earshot.db").read_bytes()


def test_nobody_waits_long_while_much_is_removed(db: Database, tmp_path: Path) -> None:
    for number in range(300):
        add(db, f"{number}", 31, transcript=f"{number} {WORDS} " * 400)
    longest = 0.0
    config = Config.model_validate(
        {"database": tmp_path / "earshot.db", "watch": [{"path": "/a"}], "retention": {"recordings": "30d"}}
    )
    look = retention(config, clock=lambda: NOW)
    with closing(open_database(tmp_path / "earshot.db")) as other:
        while look(db) < 1:
            begun = time.monotonic()
            other.execute("INSERT OR REPLACE INTO snoozes VALUES ('rule', '')")
            longest = max(longest, time.monotonic() - begun)
    assert names(db) == set()
    # Whoever finds the database locked waits ten seconds.
    assert longest < 5


def nights(db: Database, tmp_path: Path, **kept: str) -> Callable[[datetime], None]:
    """What lets a service look at the clock, do what is due, and tell."""
    values = {
        "database": tmp_path / "earshot.db",
        "watch": [{"path": "/a"}],
        "retention": kept,
        "alerts": {"destinations": {"ops": {"urls": ["json://127.0.0.1:1"]}}, "operations": ["ops"]},
    }
    config = Config.model_validate(values)
    now = NOW
    look = retention(config, clock=lambda: now)

    def at(time: datetime) -> None:
        nonlocal now
        now = time
        while look(db) < 1:
            pass
        tell_troubles(db, config, [Target("ops", 0, "json://127.0.0.1:1", 1000, False)], now)

    return at


def titles(db: Database) -> list[str]:
    return [
        row["title"] for row in rows(db, "SELECT title FROM alerts WHERE destination = 'ops' ORDER BY id")
    ]


def test_a_clock_that_leaps_ahead_deletes_nothing_and_operations_hear_of_it(
    db: Database, tmp_path: Path
) -> None:
    add(db, "young", 29)
    at = nights(db, tmp_path, recordings="30d")
    at(NOW)
    for hours in (0, 1, 24, 70):
        at(NOW + timedelta(days=365, hours=hours))
    assert names(db) == {"young"}
    assert titles(db) == ["[warning] retention waits, because the clock may be wrong"]
    (told,) = rows(db, "SELECT body FROM alerts WHERE destination = 'ops'")
    assert "or earshot was off for long" in told["body"]
    at(NOW + timedelta(hours=72))
    assert titles(db)[1:] == ["[info] retention goes on"]
    assert names(db) == set(), "by the right time it is over"


def test_a_clock_that_nobody_sets_right_is_trusted_after_days_in_which_it_went_on(
    db: Database, tmp_path: Path
) -> None:
    """So that a service that was off for a month does what it should without anybody."""
    add(db, "young", 10)
    at = nights(db, tmp_path, recordings="30d")
    at(NOW)
    at(NOW + timedelta(days=40))
    at(NOW + timedelta(days=400))
    for days in (1, 2):
        at(NOW + timedelta(days=400 + days))
    assert names(db) == {"young"}, "the second leap began the wait anew"
    at(NOW + timedelta(days=403))
    assert names(db) == set()
    assert len(titles(db)) == 2


def test_a_clock_that_was_behind_at_the_start_and_is_set_right_is_no_leap(
    db: Database, tmp_path: Path
) -> None:
    add(db, "old", 31)
    at = nights(db, tmp_path, recordings="40d")
    at(NOW)
    at(NOW - timedelta(days=20_000))
    assert names(db) == {"old"}
    at(NOW + timedelta(days=3))
    at(NOW + timedelta(days=6))
    at(NOW + timedelta(days=9.5))
    assert names(db) == set()
    assert titles(db) == []


def test_of_a_leap_nobody_hears_where_everything_is_kept(db: Database, tmp_path: Path) -> None:
    at = nights(db, tmp_path)
    at(NOW)
    at(NOW + timedelta(days=30))
    assert titles(db) == []


def test_files_of_analyzed_recordings_go_and_no_others(tmp_path: Path) -> None:
    with ScriptedApi() as api, running(tmp_path, api, retention={"originals": "0.1s"}) as service:
        file = service.drop("below/anna.wav")
        changed = service.drop("bert.wav")
        service.wait_states(done=2)
        assert file.exists()
        service.stop()
        changed.write_bytes(b"something else")
        # Retention looks once at the start, and not again for long.
        service.wait_row(
            "SELECT 1 FROM recordings "
            "WHERE id = 2 AND julianday('now') > julianday(analyzed_at, '+0.2 seconds')"
        )
        service.start()
        service.wait_row("SELECT 1 FROM recordings WHERE id = 2 AND original_deleted_at IS NOT NULL")
        service.wait_row(
            "SELECT 1 FROM recordings WHERE name = 'anna.wav' AND original_deleted_at IS NOT NULL"
        )
        assert not file.exists()
        assert changed.read_bytes() == b"something else"
