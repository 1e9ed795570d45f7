"""What holds the queue and what does not, where several things happen at once: the real process."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import Conversation, Script, ScriptedApi, Service, answer, merged, refuse, running, wav
from tests.servers import HttpSink, wait_until

REFUSED_ALIKE = answer(400, {"err_code": "SOMETHING_NEW", "err_msg": "We do not like it."})


def telling(sink: HttpSink, **analyzer: Any) -> dict[str, Any]:
    """Settings under which operations hear of trouble at `sink`."""
    alerts = {"destinations": {"ops": f"json://{sink.address}/ops"}, "operations": ["ops"]}
    return {"alerts": alerts, "analyzer": {"probe": "0.25s", "concurrency": 3, **analyzer}}


def told(sink: HttpSink) -> list[str]:
    """What operations heard, in order, by the first word that differs."""
    titles = [request.json()["title"] for request in list(sink.requests)]
    return ["paused" if "paused" in title else "goes on" for title in titles]


def first_slow(then: Script, *, go: threading.Event) -> Script:
    """Answers the first request well, once `go` is set, and every other one by `then`."""
    calls = iter(range(1_000_000))

    def script(conversation: Conversation) -> None:
        if next(calls) == 0:
            go.wait(60)
            conversation.reply()
        else:
            then(conversation)

    return script


def opened(service: Service) -> int:
    """How many recordings the service has open."""
    assert service.process is not None
    count = 0
    for descriptor in Path(f"/proc/{service.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            count += descriptor.readlink().parent == service.folder and descriptor.readlink().suffix == ".wav"
    return count


def held(then: Script, *, until: threading.Event) -> Script:
    """Answers every request by `then`, but none before."""

    def script(conversation: Conversation) -> None:
        until.wait(60)
        then(conversation)

    return script


@pytest.mark.parametrize("refusal", ["e401_key", "e402", "e503"])
def test_reply_to_what_was_asked_before_a_pause_does_not_end_it(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink, refusal: str
) -> None:
    """A3, A4, A5: a long request that began before the trouble may well be answered while it lasts."""
    go = threading.Event()
    api.script = first_slow(refuse(refusal), go=go)
    with running(tmp_path, api, **telling(sink, probe="1h")) as service:
        service.drop("slow.wav")
        api.wait_for_calls(1)
        for number in range(6):
            service.drop(f"{number}.wav")
        pause = service.wait_row("SELECT since FROM pauses")
        go.set()
        service.wait_states(done=1, waiting=6)
        assert service.rows("SELECT since FROM pauses") == [pause]
        wait_until(lambda: told(sink) == ["paused"], what="one message")


@pytest.mark.parametrize("refusal", ["e401_key", "e402"])
def test_what_was_got_ready_is_not_sent_once_the_queue_is_paused(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink, refusal: str
) -> None:
    refused = threading.Event()
    api.script = held(refuse(refusal), until=refused)
    with running(tmp_path, api, **telling(sink, probe="1h", concurrency=10)) as service:
        for number in range(14):
            service.drop(f"{number}.wav")
        service.wait_states(analyzing=10, waiting=4)
        wait_until(lambda: opened(service) == 12, what="two more files that are read")
        refused.set()
        service.wait_states(waiting=14)
    assert len(api.listened()) == 10


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_what_was_got_ready_is_not_sent_once_its_configuration_ends(
    tmp_path: Path, api: ScriptedApi, ending: signal.Signals
) -> None:
    answered = threading.Event()
    api.script = held(Conversation.reply, until=answered)
    with running(tmp_path, api, analyzer={"concurrency": 10}) as service:
        for number in range(12):
            service.drop(f"{number}.wav")
        service.wait_states(analyzing=10, waiting=2)
        wait_until(lambda: opened(service) == 12, what="two more files that are read")
        service.write_config(analyzer={"concurrency": 10, "api_key": "CANARY-second-key"})
        assert service.process is not None
        if ending == signal.SIGHUP:
            service.reload()
            answered.set()
        else:
            service.process.send_signal(ending)
            wait_until(lambda: opened(service) == 10, what="that they are closed")
            answered.set()
            assert service.wait_end() == 0
            assert service.states() == {"done": 10, "waiting": 2}
            service.start()
        service.wait_states(done=12)
        assert service.rows("SELECT sum(crashes) + sum(attempts) AS n FROM recordings") == [{"n": 12}]
    keys = [call.headers["authorization"] for call in api.listened()]
    assert keys.count("Token CANARY-second-key") == 2
    assert len(keys) == 12


def test_recording_that_is_refused_alone_fails_alone(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink
) -> None:
    """A7: words that speak of the request may be about one recording (a language nobody has a model for)."""
    bad = wav("bad.wav")

    def script(conversation: Conversation) -> None:
        (refuse("e400_model") if conversation.call.size == len(bad) + 2 else answer())(conversation)

    api.script = script
    with running(tmp_path, api, **telling(sink, concurrency=1)) as service:
        service.drop("bad.wav", bad + b"\0\0")
        service.wait_row("SELECT 1 FROM pauses")
        for number in range(4):
            service.drop(f"{number}.wav")
        service.wait_states(done=4, failed=1)
        row = service.rows("SELECT * FROM recordings WHERE state = 'failed'")[0]
        assert (row["name"], row["error_code"], row["possibly_billed"]) == ("bad.wav", "refused", 0)
        assert "No such model/language/tier combination found" in row["error"]
        wait_until(lambda: told(sink)[:2] == ["paused", "goes on"], what="one pause")
        assert service.rows("SELECT * FROM pauses") == []
    assert len(api.calls) <= 4 + 4


def test_refusals_in_words_nobody_knows_do_not_fail_one_recording_after_the_other(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink
) -> None:
    """A7: the third in a row that is refused in the same words holds the queue, and none has failed."""
    api.script = REFUSED_ALIKE
    with running(tmp_path, api, **telling(sink, probe="1h", concurrency=1)) as service:
        for number in range(8):
            service.drop(f"{number}.wav")
        service.wait_row("SELECT 1 FROM pauses WHERE cause = 'request'")
        service.wait_states(waiting=8)
        assert len(api.calls) == 3
        assert "SOMETHING_NEW" in service.status()["paused"]["reason"]
        api.script = answer()
        service.earshot("retry", "--failed")
        service.wait_states(done=8)
        wait_until(lambda: told(sink) == ["paused", "goes on"], what="one pause")


def test_retry_after_of_an_outage_is_waited_for_by_every_recording(tmp_path: Path, api: ScriptedApi) -> None:
    """A2: the service as a whole asked for a rest, not one recording's request."""
    api.then(answer(503, {}, Retry_After="2"))
    with running(tmp_path, api, analyzer={"concurrency": 1}) as service:
        service.drop("first.wav")
        service.wait_row("SELECT 1 FROM recordings WHERE error IS NOT NULL")
        service.drop("second.wav")
        service.wait_states(done=2)
    starts = [call.started_at for call in api.calls]
    assert starts[1] - starts[0] >= 2.0


def test_refusal_of_a_key_that_was_replaced_meanwhile_holds_nothing(tmp_path: Path, sink: HttpSink) -> None:
    """A4: what is in flight with the old key says nothing of the new one."""
    key = tmp_path / "key"
    key.touch(mode=0o600)
    key.write_text("an-old-key-0123456789", encoding="ascii")
    go = threading.Event()

    def script(conversation: Conversation) -> None:
        if "old" in conversation.call.headers["authorization"]:
            go.wait(60)
            refuse("e401_key")(conversation)
        else:
            conversation.reply()

    with ScriptedApi(script) as api, Service(tmp_path) as service:
        settings = merged(telling(sink, probe="1h"), {"analyzer": {"base_url": api.url}})
        content = merged(yaml.safe_load(service.config_file.read_text(encoding="utf-8")), settings)
        del content["analyzer"]["api_key"]
        content["analyzer"]["api_key_file"] = str(key)
        service.config_file.write_text(yaml.safe_dump(content), encoding="utf-8")
        service.start()
        service.drop("first.wav")
        api.wait_for_calls(1)
        key.write_text("another-key-9876543210", encoding="ascii")
        wait_until(lambda: "configuration taken over" in service.log(), what="the new key to be taken over")
        go.set()
        service.wait_states(done=1)
        assert service.rows("SELECT * FROM pauses") == []
        assert service.rows("SELECT * FROM alerts") == []


def test_probe_of_one_request_ends_before_the_next(tmp_path: Path, api: ScriptedApi, sink: HttpSink) -> None:
    """A7: a refusal that takes longer than the time between two probes, as an upload may."""
    api.script = lambda conversation: conversation.reply(
        403, {"err_code": "INSUFFICIENT_PERMISSIONS"}, delay=0.8
    )
    with running(tmp_path, api, **telling(sink, probe="0.1s", concurrency=4)) as service:
        for number in range(6):
            service.drop(f"{number}.wav")
        service.wait_row("SELECT 1 FROM pauses")
        wait_until(lambda: "analyzing" not in service.states(), what="the first requests to end")
        before = len(api.calls)
        api.wait_for_calls(before + 3)
    probes = api.calls[before : before + 3]
    assert all(later.started_at >= (earlier.ended_at or 0) for earlier, later in pairwise(probes))
