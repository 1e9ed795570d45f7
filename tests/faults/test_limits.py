"""Limits in the real process: what holds, what does not, and what alone ends it."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.harness import ScriptedApi, Service, reply, running, wav
from tests.servers import HttpSink, wait_until


def telling(sink: HttpSink, **more: Any) -> dict[str, Any]:
    alerts = {"destinations": {"ops": f"json://{sink.address}/ops"}, "operations": ["ops"]}
    return {"alerts": alerts, **more}


def titles(sink: HttpSink) -> list[str]:
    return [request.json()["title"] for request in list(sink.requests)]


def noon() -> str:
    """A time zone in which no day ends soon."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+}"


def a_day_passes(service: Service) -> None:
    """Move all that was spent, and the pauses, to the day before; the service must not run."""
    with closing(sqlite3.connect(service.database)) as db, db:
        for table, column in (
            ("costs", "at"),
            ("periods", "started_at"),
            ("pauses", "since"),
            ("pauses", "next_probe_at"),
        ):
            db.execute(f"UPDATE {table} SET {column} = strftime('%Y-%m-%dT%H:%M:%fZ', {column}, '-1 day')")  # noqa: S608


def test_a_limit_of_one_folder_holds_it_alone_until_a_person_lets_go(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink
) -> None:
    limited, other = tmp_path / "limited", tmp_path / "recordings"
    limited.mkdir()
    quick = {"settle": "0.2s", "rescan": "2s", "existing": "analyze"}
    watch = [
        {"path": str(limited), "limits": {"recordings_per_day": 2}, **quick},
        {"path": str(other), "limits": {"recordings_per_day": 90, "cost_per_month": 5}, **quick},
    ]
    for number in range(4):
        (limited / f"{number}.wav").write_bytes(wav(f"{number}"))
    with running(tmp_path, api, **telling(sink, watch=watch, timezone=noon())) as service:
        service.drop("free.wav")
        service.wait_states(done=3, waiting=2)
        wait_until(lambda: service.rows("SELECT * FROM pauses"), what="a pause")
        (pause,) = service.status()["pauses"]
        assert (pause["cause"], pause["folder"]) == ("limit", str(limited))
        assert "2 of 2" in pause["reason"]
        wait_until(lambda: len(titles(sink)) == 1, what="one message")

        service.reload()
        assert service.earshot("retry", "--failed").returncode == 0
        assert service.stop() == 0
        service.write_config(analyzer={"api_key": "another-key-0123456789"})
        service.start()
        service.drop("free as well.wav")
        service.wait_states(done=4, waiting=2)
        assert service.status()["pauses"] == [pause]

        answer = service.earshot("retry")
        assert "1 limit let go" in answer.stdout
        service.wait_states(done=6)
        wait_until(lambda: len(titles(sink)) == 2, what="that it is over")
        assert "a limit is reached" in titles(sink)[0]
        assert "goes on" in titles(sink)[1]
        # Until the period ends.
        (limited / "5.wav").write_bytes(wav("5"))
        service.wait_states(done=7)
        assert len(titles(sink)) == 2


def test_a_limit_of_all_warns_once_then_holds_until_the_next_day(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink
) -> None:
    with running(
        tmp_path, api, **telling(sink, limits={"recordings_per_day": 5}, timezone=noon())
    ) as service:
        for number in range(4):
            service.drop(f"{number}.wav")
        service.wait_states(done=4)
        wait_until(lambda: len(titles(sink)) == 1, what="a warning")
        assert "nearly reached" in titles(sink)[0]
        service.drop("5.wav")
        service.wait_states(done=5)
        service.drop("6.wav")
        wait_until(lambda: len(titles(sink)) == 2, what="a pause")
        service.wait_states(done=5, waiting=1)
        assert service.status()["pauses"][0]["folder"] is None
        assert len(api.listened()) == 5

        assert service.stop() == 0
        a_day_passes(service)
        service.start()
        service.wait_states(done=6)
        wait_until(lambda: len(titles(sink)) == 3, what="that it is over")
        assert "goes on" in titles(sink)[2]


def test_cost_counts_by_what_replies_say_and_what_is_in_flight_by_its_length(
    tmp_path: Path, api: ScriptedApi
) -> None:
    """A limit that one recording reaches: the second is not sent while the first is under way."""
    long = wav("long", seconds=60)
    settings = {"limits": {"cost_per_day": 0.004}, "analyzer": {"concurrency": 5}, "timezone": noon()}
    with running(tmp_path, api, **settings) as service:
        api.script = lambda conversation: conversation.reply(body=reply(duration=60.0), delay=1.5)
        for number in range(3):
            service.drop(f"{number}.wav", long + bytes([number]))
        service.wait_states(done=1, waiting=2)
        assert api.most_in_flight == 1
        (cost,) = service.rows("SELECT * FROM costs")
        assert cost["usd"] > 0.0
        assert cost["prices_of"] == "2026-08-10"
        assert (
            cost["usd"]
            == service.rows("SELECT estimated_cost_usd AS usd FROM recordings WHERE usd > 0")[0]["usd"]
        )
        (request,) = service.rows("SELECT seconds, usd FROM requests")
        assert 59 < request["seconds"] < 61
        assert json.loads(service.earshot("costs", "--by", "folder", "--json").stdout)["usd"] == cost["usd"]
