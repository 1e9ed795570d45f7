"""Recordings that are analyzed again, with the real processes: what stays, what is paid for, what is told."""

from __future__ import annotations

import json
import subprocess
import threading
from contextlib import closing
from pathlib import Path

from daemon.storage.database import open_database
from daemon.storage.operations import untold_failures
from tests import processes
from tests.harness import Conversation, ScriptedApi, Service, refuse, reply, running, wav
from tests.servers import HttpSink, wait_until

FOUND = {"metadata": {}, "results": {"summary": {"text": "New."}}}


def unhappy(sink: HttpSink) -> dict[str, object]:
    return {
        "destinations": {"team": f"json://{sink.address}/team", "ops": f"json://{sink.address}/ops"},
        "operations": ["ops"],
        "rules": [{"name": "unhappy", "when": {"average_sentiment": "negative"}, "notify": ["team"]}],
    }


def summaries(service: Service) -> list[str]:
    return [row["summary"] for row in service.rows("SELECT summary FROM recordings ORDER BY id")]


def test_audio_goes_through_the_queue_again_and_tells_nobody_unless_asked(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink
) -> None:
    with running(tmp_path, api) as service:
        service.drop("a.wav")
        service.drop("b.wav")
        service.wait_states(done=2)
        before = service.rows("SELECT request_id FROM recordings ORDER BY id")

        service.write_config(alerts=unhappy(sink))
        service.reload()
        long_ago = "2020-01-01T00:00:00.000Z"
        with closing(open_database(service.database)) as db:
            db.execute("UPDATE recordings SET first_seen_at = ?", (long_ago,))
        api.script = lambda conversation: conversation.reply(body=reply(average=-0.8), delay=1.0)
        answer = service.earshot("reanalyze", "--audio", "--yes")
        assert "2 recordings back in the queue; the running service analyzes them" in answer.stdout
        # They wait since they were put back, not since they came.
        assert service.status()["oldest_waiting_at"] != long_ago
        wait_until(lambda: len(api.listened()) == 4, what="two more requests")
        service.wait_states(done=2)
        after = service.rows("SELECT request_id FROM recordings ORDER BY id")
        assert not {row["request_id"] for row in before} & {row["request_id"] for row in after}
        assert service.rows("SELECT DISTINCT state, reason FROM alerts") == [
            {"state": "suppressed", "reason": "reanalyzed"}
        ]
        assert service.earshot("reanalyze", "--audio", "--alerts", "--yes").returncode == 0
        sink.wait_for(2)
        service.wait_states(done=2)
        assert len(api.listened()) == 6
        assert service.rows("SELECT count(*) AS n FROM costs") == [{"n": 6}]


def test_one_that_fails_again_or_is_another_file_by_now_keeps_its_result(
    tmp_path: Path, api: ScriptedApi
) -> None:
    with running(tmp_path, api) as service:
        refused, replaced = service.drop("refused.wav"), service.drop("replaced.wav")
        service.wait_states(done=2)
        service.drop(replaced.name, wav("something else"))
        service.wait_states(done=3)
        before = summaries(service)
        api.script = refuse("e400_audio")
        assert service.earshot("reanalyze", "--audio", "--yes").returncode == 0
        failed = "SELECT name, error_code FROM recordings WHERE error_code IS NOT NULL ORDER BY id"
        wait_until(lambda: len(service.rows(failed)) == 3, what="three failures")
        assert service.states() == {"done": 3}
        assert summaries(service) == before
        codes = {(row["name"], row["error_code"]) for row in service.rows(failed)}
        assert codes == {
            (refused.name, "corrupt_audio"),
            (replaced.name, "gone"),
            (replaced.name, "corrupt_audio"),
        }
        with closing(open_database(service.database)) as db:
            told = [row["name"] for row in untold_failures(db)]
        assert sorted(told) == sorted([refused.name, replaced.name, replaced.name])


def test_kill_in_the_middle_of_transcripts_pays_for_what_was_in_flight_and_goes_on(
    tmp_path: Path, api: ScriptedApi
) -> None:
    with running(tmp_path, api, analyzer={"concurrency": 1}) as service:
        for number in range(4):
            service.drop(f"{number}.wav")
        service.wait_states(done=4)
        service.write_config(analyzer={"custom_intents": ["another"]})

        def hang_at_the_third(conversation: Conversation) -> None:
            if len(reads(api)) == 3:
                conversation.hang()
            conversation.reply(200, FOUND)

        api.script = hang_at_the_third
        command = ("reanalyze", "--text", "--yes", "--config", str(service.config_file))
        with processes.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            wait_until(lambda: len(reads(api)) == 3, what="the third")
            process.kill()
            process.wait()
        assert sorted(summaries(service))[:2] == ["New.", "New."]
        assert service.rows("SELECT count(*) AS n FROM recordings WHERE state = 'done'") == [{"n": 4}]

        api.script = lambda conversation: conversation.reply(200, FOUND)
        # The start of a service counts what was lost as well.
        assert service.stop() == 0
        service.start()
        lost = service.rows("SELECT usd, input_tokens FROM costs WHERE seconds = 0 AND input_tokens IS NULL")
        assert len(lost) == 1
        answer = service.earshot("reanalyze", "--text", "--yes", "--json")
        assert answer.returncode == 0, answer.stderr
        found = json.loads(answer.stdout)
        assert (found["done"], found["left_out"]) == (2, {"analyzed with the present settings already": 2})
        assert len(reads(api)) == 5
        assert summaries(service) == 4 * ["New."]


def test_a_service_that_starts_meanwhile_takes_nothing_for_lost(tmp_path: Path, api: ScriptedApi) -> None:
    with running(tmp_path, api) as service:
        service.drop("a.wav")
        service.wait_states(done=1)
        service.write_config(analyzer={"custom_intents": ["another"]})
        assert service.stop() == 0

        go_on = threading.Event()

        def until_told(conversation: Conversation) -> None:
            go_on.wait(60)
            conversation.reply(200, FOUND)

        api.script = until_told
        command = ("reanalyze", "--text", "--yes", "--config", str(service.config_file))
        with processes.start(*command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            wait_until(lambda: reads(api), what="a request")
            service.start()
            go_on.set()
            assert process.wait(60) == 0
        assert summaries(service) == ["New."]
        assert service.rows("SELECT possibly_billed FROM recordings") == [{"possibly_billed": 2}]
        assert service.rows("SELECT count(*) AS n FROM costs") == [{"n": 2}]


def reads(api: ScriptedApi) -> list[str]:
    return [call.text for call in api.calls if call.path == "/v1/read"]
