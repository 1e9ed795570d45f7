"""A storm of bad conversations through the real process: few messages, and every recording accounted for."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.harness import ScriptedApi, answer, reply, running
from tests.servers import HttpSink, SmtpSink, wait_until

RULE = {"name": "unhappy caller", "when": {"average_sentiment": "negative"}, "notify": ["team"]}


@pytest.mark.parametrize("recordings", [50, pytest.param(500, marks=pytest.mark.soak)])
def test_many_negative_recordings_give_the_configured_number_of_messages(
    tmp_path: Path, recordings: int
) -> None:
    """The first ten, one summary when the window ends, kill -9 in between or not, and a row for each."""
    with ScriptedApi(answer(200, reply(average=-0.8))) as api, HttpSink() as http:
        alerts = {
            "destinations": {"team": f"json://{http.address}"},
            "rules": [RULE],
            "burst": {"limit": 10, "window": "1h"},
        }
        with running(tmp_path, api, alerts=alerts) as service:
            for number in range(recordings):
                service.drop(f"{number}.wav")
            service.wait_states(done=recordings, seconds=90)
            service.kill()
            _set_back(service.database, "bursts", "ends_at")
            service.start()
            wait_until(lambda: summaries(http), what="the summary")
            service.kill()
            service.start()
            rows = service.rows("SELECT * FROM alerts WHERE recording_id IS NOT NULL")
            sums = service.rows("SELECT * FROM alerts WHERE recording_id IS NULL")
    assert len({row["recording_id"] for row in rows}) == len(rows) == recordings
    held = [row for row in rows if row["state"] == "suppressed"]
    assert {row["reason"] for row in held} == {"burst"}
    assert recordings - len(held) == 10
    assert len(sums) == 1
    # What is killed between sending and storing that is sent again, with the same id: it counts once.
    assert len({request.body for request in http.requests}) == 11
    assert "recording" in summaries(http)[0]["message"]


def summaries(http: HttpSink) -> list[dict[str, str]]:
    told = [json.loads(request.body) for request in http.requests]
    return [message for message in told if "held back - burst" in message["title"]]


def test_the_service_sends_a_summary_a_digest_and_notices_by_itself(tmp_path: Path) -> None:
    """What falls due by the clock is looked after in the running process, and reaches mail as well."""
    with ScriptedApi(answer(200, reply(average=-0.8))) as api, HttpSink() as http, SmtpSink() as smtp:
        alerts = {
            "destinations": {"team": [f"json://{http.address}"], "ops": smtp.mailto()},
            "operations": ["ops"],
            "rules": [RULE],
            "burst": {"limit": 1, "window": "1h"},
            "digest": {"at": "00:00", "every": "day", "notify": ["ops"]},
        }
        with running(tmp_path, api, alerts=alerts) as service:
            for number in range(3):
                service.drop(f"{number}.wav")
            service.wait_states(done=3)
            # The window ends while it runs.
            _set_back(service.database, "bursts", "ends_at")
            service.drop("3.wav")
            wait_until(lambda: summaries(http), what="the summary")
            assert service.stop() == 0
            # As after a night in which the service was down.
            _set_back(service.database, "digests", "until")
            service.start()
            (mail,) = smtp.wait_for(1)
            assert "digest" in str(mail["subject"])
            service.kill()
            service.start()
            digests = service.rows("SELECT * FROM alerts WHERE title LIKE '%digest%'")
    assert len(digests) == 1


def _set_back(database: Path, table: str, column: str) -> None:
    with closing(sqlite3.connect(database, timeout=60)) as db, db:
        db.execute(f"UPDATE {table} SET {column} = '2026-01-01T00:00:00.000Z'")  # noqa: S608
