"""The clock jumps, and files come from other times: nothing waits for years, and stamps are UTC."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.models import from_iso, iso
from tests.faults.crashes import alerting
from tests.harness import Conversation, ScriptedApi, Service, reply, running
from tests.servers import HttpSink, wait_until


def change(service: Service, sql: str, *parameters: object) -> None:
    """Change the database while the service is down."""
    with closing(sqlite3.connect(service.database)) as db:
        db.execute(sql, parameters)
        db.commit()


def test_clock_set_back_leaves_nothing_waiting_for_days(tmp_path: Path) -> None:
    """T1: rows of the queue, of the outbox and of a pause that are due further away than they ever may be."""
    far = iso(datetime.now(UTC) + timedelta(days=40))
    with HttpSink(500) as sink, ScriptedApi() as api:
        api.script = lambda conversation: conversation.reply(body=reply(average=-0.8))
        with running(tmp_path, api, **alerting(sink)) as service:
            service.drop("first.wav")
            service.wait_row("SELECT 1 FROM alerts WHERE attempts = 1")
            service.stop()
            service.drop("second.wav")
            change(
                service,
                "INSERT INTO pauses (cause, reason, since, next_probe_at, probe_seconds)"
                " VALUES ('key', 'refused', ?, ?, 300)",
                far,
                far,
            )
            service.start()
            service.wait_states(done=2)
            service.kill()
            change(service, "UPDATE alerts SET not_before = ? WHERE state = 'pending'", far)
            change(service, "UPDATE recordings SET state = 'waiting', not_before = ? WHERE id = 2", far)
            service.start()
            service.wait_states(done=2)
            service.wait_row("SELECT 1 FROM alerts WHERE recording_id = 1 AND state = 'sent'")


def test_clock_set_forward_makes_no_stampede(tmp_path: Path) -> None:
    """T2: all that is due at once still goes by the setting of concurrency."""
    with ScriptedApi(lambda conversation: conversation.reply(delay=0.02)) as api:
        with running(tmp_path, api, analyzer={"concurrency": 3}) as service:
            service.stop()
            for number in range(30):
                service.drop(f"{number}.wav")
            service.start()
            service.wait_states(done=30)
        assert api.most_in_flight <= 3


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        pytest.param(4_000_000_000, "2096-10-02T07:06:40.000Z", id="future"),
        pytest.param(0, "1970-01-01T00:00:00.000Z", id="1970"),
        pytest.param(-100_000_000, "1966-10-31T14:13:20.000Z", id="before 1970"),
    ],
)
def test_time_of_a_file_does_not_matter(tmp_path: Path, api: ScriptedApi, seconds: int, shown: str) -> None:
    """T3: complete means that nothing changed since earshot looked, whatever the file says of itself."""
    with running(tmp_path, api) as service:
        source = tmp_path / "strange.wav"
        source.write_bytes(b"RIFF")
        os.utime(source, (seconds, seconds))
        source.rename(service.folder / "strange.wav")
        service.wait_states(done=1)
        assert service.rows("SELECT modified_at FROM recordings") == [{"modified_at": shown}]


def test_stamps_are_utc_in_any_time_zone(tmp_path: Path) -> None:
    """T4: every time in the database ends in Z and is the time it was."""

    def negative(conversation: Conversation) -> None:
        conversation.reply(body=reply(average=-0.8))

    with HttpSink() as sink, ScriptedApi(negative) as api:
        settings = alerting(sink, base_url=api.url)
        with Service(tmp_path, settings, environment={"TZ": "Pacific/Kiritimati"}) as service:
            begin = time.time()
            service.start()
            service.drop("call.wav")
            service.wait_row("SELECT 1 FROM alerts WHERE state = 'sent'")
            wait_until(lambda: service.states() == {"done": 1}, what="it to be done")
            stamps: dict[str, str] = {}
            for table in ("recordings", "alerts", "responses", "requests", "folders"):
                for row in service.rows(f"SELECT * FROM {table}"):  # noqa: S608 - the names above
                    stamps |= {f"{table}.{key}": row[key] for key in row if key.endswith("_at") and row[key]}
            assert len(stamps) >= 10
            for name, stamp in stamps.items():
                assert stamp.endswith("Z"), name
                assert begin - 60 <= from_iso(stamp).timestamp() <= time.time() + 60, name
