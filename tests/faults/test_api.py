"""The far end misbehaves: the real process against every fault of an HTTP API, and what must come of it.

No fault of the service may fail a recording, be paid for without end, or go unseen.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import re
import signal
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from daemon.analysis.throttle import SUCCESSES_TO_CLIMB
from daemon.deepgram.http_errors import retry_after
from daemon.models import from_iso, iso
from daemon.periodic.operations_text import FLAPS, LASTS
from tests.harness import (
    CANARY_KEY,
    Call,
    Conversation,
    Script,
    ScriptedApi,
    Service,
    answer,
    error,
    merged,
    refuse,
    reply,
    running,
    sample,
    together,
    wav,
)
from tests.servers import HttpSink, free_port, wait_until

ONE_REPLY_LOST = 2


def telling(sink: HttpSink, **settings: Any) -> dict[str, Any]:
    """Settings under which operations hear of trouble at `sink`, and a held queue is tried often."""
    alerts = {"destinations": {"ops": f"json://{sink.address}/ops"}, "operations": ["ops"]}
    return merged({"alerts": alerts, "analyzer": {"probe": "0.25s", "concurrency": 3}}, settings)


def titles(sink: HttpSink) -> list[str]:
    """What operations were told, in order."""
    return [request.json()["title"] for request in sink.requests]


def wait_told(sink: HttpSink, *kinds: str) -> None:
    """Return once operations were told exactly these, by the word that tells a message's kind."""

    def look() -> bool:
        found = ["paused" if "paused" in title else "goes on" for title in titles(sink)]
        return found == list(kinds)

    wait_until(look, what=f"{kinds} to be told; told {titles(sink)}")


def once_bad(*bad: Script) -> Script:
    """Answers the first requests for each recording with these, one each, and further ones well."""
    seen: dict[str, int] = {}
    lock = threading.Lock()

    def script(conversation: Conversation) -> None:
        with lock:
            number = seen.get(conversation.call.sha256, 0)
            seen[conversation.call.sha256] = number + 1
        (bad[number] if number < len(bad) else answer())(conversation)

    return script


def overlap(calls: list[Call]) -> int:
    """How many of these calls were under way at the same time, at most."""
    return max(
        sum(other.started_at <= call.started_at < (other.ended_at or time.monotonic()) for other in calls)
        for call in calls
    )


def paused_reason(service: Service) -> str | None:
    found = service.rows("SELECT reason FROM pauses")
    return found[0]["reason"] if found else None


def wait_paused(service: Service) -> str:
    reason = service.wait_row("SELECT reason FROM pauses")["reason"]
    assert isinstance(reason, str)
    return reason


# What only one answer can tell


def test_too_many_requests_lower_the_concurrency_and_it_climbs_back(tmp_path: Path, api: ScriptedApi) -> None:
    """A1, A20: 429 is nobody's fault; fewer requests at once, then slowly more, never above the setting."""
    api.then(*together(6, refuse("e429")), *[answer()] * SUCCESSES_TO_CLIMB, *together(2, answer()))
    recordings = SUCCESSES_TO_CLIMB + 2
    with running(tmp_path, api, analyzer={"concurrency": 6}) as service:
        for number in range(recordings):
            service.drop(f"{number}.wav")
        service.wait_states(done=recordings)
        rows = service.rows("SELECT possibly_billed FROM recordings")
    refused, answered, climbed = (
        api.calls[:6],
        api.calls[6 : 6 + SUCCESSES_TO_CLIMB],
        api.calls[6 + SUCCESSES_TO_CLIMB :],
    )
    assert [call.answered for call in refused] == [429] * 6
    assert [call.answered for call in answered + climbed] == [200] * recordings
    assert {row["possibly_billed"] for row in rows} == {1}
    assert overlap(answered) == 1
    assert overlap(climbed) == 2
    assert api.most_in_flight == 6


def test_a_service_that_goes_on_refusing_for_its_rate_is_asked_more_and_more_seldom(
    tmp_path: Path, api: ScriptedApi
) -> None:
    """A1: without Retry-After the whole client waits after each 429 in a row, longer each time."""
    api.then(*[refuse("e429")] * 2)
    with running(tmp_path, api, analyzer={"concurrency": 1}) as service:
        for number in range(3):
            service.drop(f"{number}.wav")
        service.wait_states(done=3)
    assert [call.answered for call in api.calls] == [429, 429, 200, 200, 200]
    first, second = [after.started_at - (before.ended_at or 0.0) for before, after in pairwise(api.calls[:3])]
    # One second and two, of which chance takes up to a half.
    assert first >= 0.5
    assert second >= 1.0


@pytest.mark.parametrize(
    "value",
    [
        "0",
        "-5",
        "garbage",
        "1e999",
        "nan",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 99 Foo 99999 99:99:99 XXX",
        "",
    ],
)
def test_a_retry_after_that_names_no_wait_delays_nothing(value: str) -> None:
    """A2: what is not a time to come is as good as nothing."""
    assert not retry_after({"retry-after": value})


def test_a_retry_after_of_years_waits_minutes(tmp_path: Path, api: ScriptedApi) -> None:
    """A2: the wait that a service asks for is honoured up to 15 minutes; the process goes on."""
    years = format_datetime(datetime.now(UTC) + timedelta(days=900), usegmt=True)
    api.then(*(answer(503, b"later", Retry_After=value) for value in ("99999999999", "1e300", years)))
    with running(tmp_path, api) as service:
        for number in range(3):
            service.drop(f"{number}.wav")
        service.wait_row("SELECT 1 FROM (SELECT count(error) AS n FROM recordings) WHERE n = 3")
        service.wait_states(waiting=3)
        for row in service.rows("SELECT not_before FROM recordings"):
            wait = from_iso(row["not_before"]) - datetime.now(UTC)
            assert timedelta(minutes=14) < wait <= timedelta(minutes=15)
        service.drop("other.wav")
        service.wait_states(waiting=3, done=1)


def test_strange_retry_after_values_stop_nothing(tmp_path: Path, api: ScriptedApi) -> None:
    """A2: 429 with any Retry-After is followed by another try, no earlier than it validly asked for."""
    values = ["0", "-5", "garbage", "Sun, 06 Nov 1994 08:49:37 GMT", "1.2"]
    for value in values:
        # With an answer after each: those in a row are waited for longer and longer.
        api.then(answer(429, {}, Retry_After=value), answer())
    with running(tmp_path, api, analyzer={"concurrency": 1}) as service:
        for number in range(5):
            service.drop(f"{number}.wav")
        service.wait_states(done=5)
    times = [call.started_at for call in api.calls]
    assert len(times) == 10
    assert times[9] - times[8] >= 1.2


def test_a_recording_that_is_no_audio_fails_alone(tmp_path: Path, api: ScriptedApi, sink: HttpSink) -> None:
    """A6: one paid try, the reason in its row, the file untouched, others done, operations not bothered."""
    bad = wav("bad")
    refusal = error("e400_audio")

    def script(conversation: Conversation) -> None:
        is_bad = conversation.call.size == len(bad) and conversation.call.sha256 == sha_of(bad)
        conversation.reply(*refusal) if is_bad else conversation.reply()

    api.script = script
    with running(tmp_path, api, **telling(sink)) as service:
        path = service.drop("bad.wav", bad)
        for number in range(4):
            service.drop(f"{number}.wav")
        service.wait_states(failed=1, done=4)
        row = service.rows("SELECT * FROM recordings WHERE state = 'failed'")[0]
        assert row["error_code"] == "corrupt_audio"
        assert "corrupt or unsupported data" in row["error"]
        assert row["attempts"] == 1
        assert path.read_bytes() == bad
        assert len(api.calls) == 5
        assert service.rows("SELECT * FROM pauses") == []
    assert titles(sink) == []


def sha_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_file_over_the_limit_is_never_sent(tmp_path: Path, api: ScriptedApi) -> None:
    """A8: more than Deepgram takes fails at once, without a byte on the wire."""
    with running(tmp_path, api) as service:
        huge = service.place / "huge"
        with huge.open("wb") as file:
            file.truncate(2 * 1000**3 + 1)
        huge.rename(service.folder / "huge.wav")
        service.drop("small.wav")
        service.wait_states(failed=1, done=1)
        assert (
            service.rows("SELECT error_code FROM recordings WHERE state = 'failed'")[0]["error_code"]
            == "too_large"
        )
    assert [call.size for call in api.calls] == [len(wav("small.wav"))]


def test_no_connection_is_waited_out_for_ever(tmp_path: Path, api: ScriptedApi, sink: HttpSink) -> None:
    """A9: not an attempt, not billed, no recording fails however short `retry_for` is; status says why."""
    unreachable = {
        f"http://127.0.0.1:{free_port()}": "refused",
        "https://no-such-host.invalid": "",
        # A server that does not speak TLS is to a client what a broken one is.
        api.url.replace("http://", "https://"): "SSL",
    }
    settings = telling(sink, analyzer={"retry_for": "0s", "base_url": next(iter(unreachable))})
    with Service(tmp_path, settings) as service:
        service.start()
        for number in range(6):
            service.drop(f"{number}.wav")
        wait_told(sink, "paused")
        for url, reason in unreachable.items():
            service.write_config(analyzer={"base_url": url})
            service.reload()
            service.wait_row(
                "SELECT 1 FROM pauses WHERE cause = 'service' AND probes >= 2"
                " AND reason LIKE '%no connection to the service%' AND reason LIKE ?",
                f"%{reason}%",
            )
            assert service.states().keys() <= {"waiting", "analyzing"}
        assert "no connection to the service" in service.status()["paused"]["reason"]
        service.write_config(analyzer={"base_url": api.url})
        service.reload()
        service.wait_states(done=6)
        wait_told(sink, "paused", "goes on")
        rows = service.rows("SELECT attempts, possibly_billed FROM recordings")
    assert {(row["attempts"], row["possibly_billed"]) for row in rows} == {(1, 1)}
    assert {call.path for call in api.calls} == {"/v1/listen"}


def test_a_connection_that_comes_back_is_used_by_itself(tmp_path: Path, sink: HttpSink) -> None:
    """A9: nothing has to be done when the endpoint is back."""
    port = free_port()
    with Service(tmp_path, telling(sink, analyzer={"base_url": f"http://127.0.0.1:{port}"})) as service:
        service.start()
        for number in range(6):
            service.drop(f"{number}.wav")
        wait_told(sink, "paused")
        with ScriptedApi(port=port):
            service.wait_states(done=6)
            wait_told(sink, "paused", "goes on")


def test_a_reset_during_the_upload_is_not_billed(tmp_path: Path) -> None:
    """A10: the body did not arrive, so nothing can be billed; it is sent again."""
    with ScriptedApi(takes_body=False) as api, running(tmp_path, api) as service:
        api.script = lambda conversation: conversation.reset()
        service.drop("large.wav", wav("large", seconds=200))
        service.wait_row("SELECT * FROM recordings WHERE error LIKE '%broke during the upload%'")
        api.takes_body = True
        api.script = answer()
        service.wait_states(done=1)
        row = service.rows("SELECT * FROM recordings")[0]
        assert row["possibly_billed"] == 1


def lost_replies() -> dict[str, Script]:
    """Ways to take a whole request and give nothing usable back."""
    return {
        "closed.wav": lambda conversation: conversation.close(),
        "reset.wav": lambda conversation: conversation.reset(),
        "late.wav": lambda conversation: conversation.hang(),
        "504.wav": answer(504, b"gateway timeout"),
        "accepted.wav": answer(202, {"request_id": "x"}),
        "object.wav": answer(200, b"{}"),
    }


def by_recording(ways: dict[str, Script]) -> Script:
    """Answers each recording as the way says that it is named after."""
    by_hash = {sha_of(wav(name)): script for name, script in ways.items()}
    return lambda conversation: by_hash[conversation.call.sha256](conversation)


def test_a_lost_reply_is_asked_for_twice_more_and_not_again(tmp_path: Path, api: ScriptedApi) -> None:
    """A11, A12: three requests in all, each possibly billed, what came is kept, then a person decides."""
    ways = lost_replies()
    api.script = by_recording(ways)
    with running(tmp_path, api, analyzer={"timeout": "0.5s", "probe": "0.05s"}) as service:
        for way in ways:
            service.drop(way)
        service.wait_states(failed=len(ways))
        rows = service.rows("SELECT * FROM recordings")
        assert {row["error_code"] for row in rows} == {"ambiguous_reply"}
        assert {(row["possibly_billed"], row["attempts"]) for row in rows} == {(3, 3)}
        assert all(f"earshot retry {row['id']}" in row["error"] for row in rows)
        assert len(api.listened()) == 3 * len(ways)
        kept = service.rows(
            "SELECT name, kind, body FROM responses JOIN recordings ON recordings.id = recording_id"
        )
        assert {row["kind"] for row in kept} == {"doubtful"}
        whole = [zlib.decompress(row["body"]) for row in kept if row["name"] == "object.wav"]
        assert whole == [b"{}"] * 3
        api.script = answer()
        assert service.earshot("retry", "--failed").returncode == 0
        service.wait_states(done=len(ways))
        rows = service.rows("SELECT possibly_billed, error_code FROM recordings")
        assert {(row["possibly_billed"], row["error_code"]) for row in rows} == {(4, None)}


def test_a_reply_lost_once_costs_one_more_request(tmp_path: Path, api: ScriptedApi) -> None:
    """A11: the next reply counts, and both requests are in the ledger."""
    ways = lost_replies()
    api.script = by_recording({name: once_bad(script) for name, script in ways.items()})
    with running(tmp_path, api, analyzer={"timeout": "0.5s", "probe": "0.05s"}) as service:
        for way in ways:
            service.drop(way)
        service.wait_states(done=len(ways))
        rows = service.rows("SELECT id, possibly_billed, error_code FROM recordings")
        for row in rows:
            found = service.rows("SELECT outcome FROM requests WHERE recording_id = ? ORDER BY id", row["id"])
            assert [entry["outcome"] for entry in found] == ["DoubtfulReplyError", "received"]
    assert {(row["possibly_billed"], row["error_code"]) for row in rows} == {(ONE_REPLY_LOST, None)}
    assert len(api.calls) == ONE_REPLY_LOST * len(ways)


def unusable_bodies() -> dict[str, bytes]:
    """Bodies of a 200 that are no result, each for a different reason."""
    whole = json.dumps(reply()).encode()
    no_metadata = reply()
    del no_metadata["metadata"]
    return {
        "empty": b"",
        "cut": whole[: len(whole) // 2],
        "html": b"<!DOCTYPE html><title>Welcome to the hotel</title>",
        "object": b"{}",
        "null": b"null",
        "list": b"[]",
        "number": b"1e999",
        "text": b'"fine"',
        "nan": whole.replace(b"16.44", b"NaN"),
        "infinity": whole.replace(b"16.44", b"-Infinity"),
        "nested": b"[" * 1_000_000,
        "nested-objects": b'{"results":' * 200_000,
        "no-metadata": json.dumps(no_metadata).encode(),
        "no-channels": json.dumps(merged(reply(), {"results": {"channels": []}})).encode(),
        "channels-text": json.dumps(merged(reply(), {"results": {"channels": "none"}})).encode(),
        "results-list": json.dumps({"metadata": {}, "results": [1]}).encode(),
        "not-utf8": whole.replace(b"Parker", b"Park\xff\xfe"),
        "long-number": whole.replace(b"16.44", b"9" * 5000),
    }


def test_a_reply_that_is_no_result_is_kept_and_asked_for_again(tmp_path: Path, api: ScriptedApi) -> None:
    """A12: never stored as a result, never a crash; counted as billed, the raw bytes kept for a person."""
    bodies = unusable_bodies()
    by_hash = {sha_of(wav(f"{name}.wav")): body for name, body in bodies.items()}
    asked: set[str] = set()

    def script(conversation: Conversation) -> None:
        sha256 = conversation.call.sha256
        body = by_hash[sha256] if sha256 not in asked else None
        asked.add(sha256)
        conversation.reply(body=body)

    api.script = script
    with running(tmp_path, api, analyzer={"probe": "0.05s"}) as service:
        for name in bodies:
            service.drop(f"{name}.wav")
        service.wait_states(done=len(bodies))
        rows = {row["name"]: row for row in service.rows("SELECT * FROM recordings")}
        kept = {
            row["name"]: zlib.decompress(row["body"])
            for row in service.rows(
                "SELECT name, body FROM responses JOIN recordings ON recordings.id = recording_id"
                " WHERE kind = 'doubtful'"
            )
        }
        log = service.log()
    assert {name: row["possibly_billed"] for name, row in rows.items()} == {
        f"{name}.wav": ONE_REPLY_LOST for name in bodies
    }
    assert kept == {f"{name}.wav": body for name, body in bodies.items() if body}
    assert {row["average_sentiment"] for row in rows.values()} == {"negative"}
    assert "Traceback" not in log


def test_a_reply_cut_on_the_wire_is_no_result(tmp_path: Path, api: ScriptedApi) -> None:
    """A12: less than Content-Length or an unfinished chunk is a lost reply, with the part that came kept."""
    whole = json.dumps(reply()).encode()

    def short(conversation: Conversation) -> None:
        conversation.reply(body=whole[:100], headers={"Content-Length": str(len(whole))})
        conversation.close()

    def chunked(conversation: Conversation) -> None:
        conversation.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        conversation.raw(b"%x\r\n%b" % (len(whole), whole[:100]))
        conversation.close()

    api.then(short, chunked)
    with running(tmp_path, api) as service:
        service.drop("call.wav")
        service.wait_states(done=1)
        assert service.rows("SELECT possibly_billed FROM recordings")[0]["possibly_billed"] == 3
        kept = service.rows("SELECT body FROM responses WHERE kind = 'doubtful'")
        assert [zlib.decompress(row["body"]) for row in kept] == [whole[:100]] * 2


def test_wrong_types_within_a_result_cost_only_what_they_spoil(tmp_path: Path, api: ScriptedApi) -> None:
    """A12, A13: a paid transcript is kept; what cannot be used is NULL and in not_analyzed, never neutral."""
    body = reply()
    body["results"] |= {
        "summary": {"result": "success", "short": 7},
        "topics": {"segments": "none"},
        "intents": {"segments": [None, 3, {"intents": [{"intent": 5}, "x"]}, {"text": [], "intents": {}}]},
        "sentiments": {"segments": [{"sentiment": "negative", "sentiment_score": "very"}], "average": [1]},
    }
    body["metadata"] |= {"duration": "long", "channels": True, "request_id": 17, "summary_info": []}
    api.then(answer(200, body))
    with running(tmp_path, api) as service:
        service.drop("call.wav")
        service.wait_states(done=1)
        row = service.rows("SELECT * FROM recordings")[0]
        segment = service.rows("SELECT * FROM sentiments")[0]
        assert service.rows("SELECT * FROM topics") == service.rows("SELECT * FROM intents") == []
    assert row["transcript"].startswith("Parker Scarves.")
    assert row["summary"] is row["average_sentiment"] is row["average_sentiment_score"] is None
    assert row["duration_seconds"] is None
    assert json.loads(row["not_analyzed"]).keys() == {"summary", "sentiment", "topics"}
    assert (segment["sentiment"], segment["sentiment_score"]) == ("negative", None)
    assert len(api.calls) == 1


def test_silence_is_done_without_a_result_or_an_alert(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink
) -> None:
    """A13: nothing was said, so nothing is neutral, nothing fires and nothing is asked again."""
    rule = {"name": "any", "when": {"average_sentiment": ["negative", "neutral"]}, "notify": ["ops"]}
    with running(tmp_path, api, **telling(sink, alerts={"rules": [rule]})) as service:
        # Compressed, although that was not asked for.
        silence = gzip.compress(json.dumps(sample("silent_captured")).encode())
        api.script = answer(200, silence, Content_Encoding="gzip")
        service.drop("silence.wav")
        service.wait_states(done=1)
        row = service.rows("SELECT * FROM recordings")[0]
        assert set(json.loads(row["not_analyzed"]).values()) == {"no speech"}
        assert row["average_sentiment"] is None
        assert service.rows("SELECT * FROM alerts") == []
    assert len(api.calls) == 1


def test_a_reply_that_drips_ends_at_the_deadline(tmp_path: Path, api: ScriptedApi) -> None:
    """A14: the timeout is for the whole reply; a byte now and then does not extend it."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n"

    def drip_body(conversation: Conversation) -> None:
        conversation.raw(head + b"\r\n")
        conversation.drip(head * 100, every=0.1)

    api.then(drip_body, lambda conversation: conversation.drip(head * 100, every=0.1))
    with running(tmp_path, api, analyzer={"timeout": "1s"}) as service:
        service.drop("one.wav")
        service.drop("two.wav")
        lost = "SELECT * FROM requests WHERE outcome = 'DoubtfulReplyError'"
        wait_until(lambda: len(service.rows(lost)) == 2, what="both to be given up")
        for row in service.rows(lost):
            took = from_iso(row["ended_at"]) - from_iso(row["started_at"])
            assert timedelta(seconds=0.9) < took < timedelta(seconds=30)


def test_a_request_without_an_answer_holds_up_no_other(tmp_path: Path, api: ScriptedApi) -> None:
    """A15: the other workers go on while one waits."""
    api.then(lambda conversation: conversation.hang())
    with running(tmp_path, api, analyzer={"concurrency": 2}) as service:
        service.drop("hangs.wav")
        api.wait_for_calls(1)
        for number in range(5):
            service.drop(f"{number}.wav")
        service.wait_states(analyzing=1, done=5)


def test_a_reply_without_end_is_cut_off(tmp_path: Path, api: ScriptedApi) -> None:
    """A16: half a gigabyte behind a few hundred kilobytes of gzip does not get into memory."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    # Which nothing before it is needed to unpack: it may be repeated. Only the sum at the end is wrong then.
    megabyte, begin = [
        compressor.compress(bytes(1 << 20)) + compressor.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    ][::-1]
    bomb = begin + megabyte * 499 + compressor.flush()
    assert len(bomb) < 1 << 20
    api.then(answer(200, bomb, Content_Encoding="gzip"))
    with running(tmp_path, api) as service:
        service.drop("call.wav")
        service.wait_row("SELECT * FROM requests WHERE outcome = 'DoubtfulReplyError'")
        assert service.process is not None
        status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="utf-8")
        peak = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert peak is not None
        assert int(peak[1]) < 400_000


def test_a_redirect_is_not_followed(tmp_path: Path, api: ScriptedApi, sink: HttpSink) -> None:
    """A17: neither recording nor key go where nobody said they may; the queue is held and says why."""
    with ScriptedApi() as elsewhere:
        location = f"{elsewhere.url}/v1/listen"
        api.then(*(answer(status, b"", Location=location) for status in (301, 302, 307, 308)))
        with running(tmp_path, api, **telling(sink)) as service:
            service.drop("call.wav")
            assert "base_url" in wait_paused(service)
            service.wait_states(done=1)
            wait_told(sink, "paused", "goes on")
        assert elsewhere.calls == []
    assert [call.answered for call in api.calls] == [301, 302, 307, 308, 200]


def test_a_refusal_while_the_upload_goes_on_is_read(tmp_path: Path) -> None:
    """A18: 413 before the body has arrived is that recording's reason, not a broken connection."""

    def refuse_early(conversation: Conversation) -> None:
        conversation.reply(413, b"too large", {"Connection": "close"})
        # Takes what comes for a moment, as servers do, so that the answer is not lost in a reset.
        conversation.handler.connection.settimeout(0.3)
        try:
            while conversation.handler.rfile.read(65536):
                pass
        except OSError:
            return

    with ScriptedApi(refuse_early, takes_body=False) as api, running(tmp_path, api) as service:
        service.drop("large.wav", wav("large", seconds=100))
        service.wait_states(failed=1)
        row = service.rows("SELECT * FROM recordings")[0]
    assert (row["error_code"], row["possibly_billed"]) == ("too_large", 0)
    assert len(api.calls) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_reply_that_comes_after_the_signal_is_stored(
    tmp_path: Path, api: ScriptedApi, number: signal.Signals
) -> None:
    """A19: nothing new is begun, what is under way is finished and told, then the exit code of the signal."""
    go_on = threading.Event()

    def until_told(conversation: Conversation) -> None:
        go_on.wait(60)
        conversation.reply()

    api.script = until_told
    rule = {"name": "unhappy caller", "when": {"average_sentiment": "negative"}, "notify": ["team"]}
    with HttpSink() as sink:
        alerts = {"destinations": {"team": f"json://{sink.address}"}, "rules": [rule]}
        (tmp_path / "secret").write_text(f"whsec_{'a' * 32}", encoding="ascii")
        webhooks = [{"url": f"{sink.url}/hook", "secret_file": str(tmp_path / "secret")}]
        with running(tmp_path, api, analyzer={"concurrency": 2}, alerts=alerts, webhooks=webhooks) as service:
            for index in range(4):
                service.drop(f"{index}.wav")
            service.wait_row("SELECT 1 FROM (SELECT count(*) AS n FROM recordings) WHERE n = 4")
            api.wait_for_calls(2)
            service.signal(number)
            wait_until(lambda: "stopping in_flight=2" in service.log(), what="the signal to be taken")
            go_on.set()
            assert service.wait_end() == (130 if number == signal.SIGINT else 0)
            assert service.states() == {"done": 2, "waiting": 2}
            assert service.rows("SELECT state, count(*) AS n FROM alerts GROUP BY state") == [
                {"state": "sent", "n": 2}
            ]
    assert len(api.calls) == 2
    assert [request.path for request in sink.requests].count("/hook") == 4, "done and alert, for each"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(tmp_path: Path, api: ScriptedApi, number: signal.Signals) -> None:
    """A19: no waiting any more; the next start counts the request as possibly billed and sends it again."""
    api.then(lambda conversation: conversation.hang())
    with running(tmp_path, api) as service:
        service.drop("call.wav")
        api.wait_for_calls(1)
        service.signal(number)
        wait_until(lambda: "stopping in_flight=1" in service.log(), what="the first signal to be taken")
        assert service.stop(number) == (130 if number == signal.SIGINT else 0)
        service.start()
        service.wait_states(done=1)
        assert service.rows("SELECT possibly_billed FROM recordings")[0]["possibly_billed"] == 2


def test_the_drain_has_an_end(tmp_path: Path, api: ScriptedApi) -> None:
    """A19: a reply that does not come within `drain` is not waited for."""
    api.then(lambda conversation: conversation.hang())
    with running(tmp_path, api, analyzer={"drain": "0.5s"}) as service:
        service.drop("call.wav")
        api.wait_for_calls(1)
        assert service.stop() == 0


def test_never_more_requests_at_once_than_set(tmp_path: Path, api: ScriptedApi) -> None:
    """A20: the setting is a promise to the account's plan, and it is used in full."""
    api.script = lambda conversation: conversation.reply(delay=0.1)
    api.then(*together(3, answer()))
    with running(tmp_path, api, analyzer={"concurrency": 3}) as service:
        for number in range(15):
            service.drop(f"{number}.wav")
        service.wait_states(done=15)
    assert api.most_in_flight == 3
    assert len(api.calls) == 15


def test_a_higher_setting_is_used_at_once(tmp_path: Path, api: ScriptedApi) -> None:
    """A20: a concurrency raised by SIGHUP does not have to be climbed to."""
    api.then(*together(4, answer()))
    with running(tmp_path, api, analyzer={"concurrency": 1}) as service:
        service.write_config(analyzer={"concurrency": 4})
        service.reload()
        for number in range(8):
            service.drop(f"{number}.wav")
        service.wait_states(done=8)
    assert api.most_in_flight == 4


def test_there_is_one_layer_of_retries(tmp_path: Path, api: ScriptedApi) -> None:
    """A21: each request on the wire is one that the ledger knows; nothing below it tries again by itself."""
    api.then(answer(502, b"bad gateway"), lost_replies()["closed.wav"])
    with running(tmp_path, api) as service:
        service.drop("call.wav")
        service.wait_states(done=1)
        assert service.rows("SELECT count(*) AS n FROM requests")[0]["n"] == len(api.calls) == 3
    for first, second in pairwise(api.calls):
        assert second.started_at - (first.ended_at or 0.0) >= 0.2


def test_a_status_counts_although_its_body_is_cut(tmp_path: Path, api: ScriptedApi) -> None:
    """A12: the status line came whole, so a refusal is a refusal and not a reply lost."""

    def cut(name: str) -> Script:
        status, body = error(name)
        content = json.dumps(body).encode()

        def script(conversation: Conversation) -> None:
            conversation.reply(status, content, {"Content-Length": str(len(content) + 50)})
            conversation.close()

        return script

    names = ("e401_key", "e429", "e503")
    ways = {f"{name}.wav": once_bad(cut(name)) for name in names}
    api.script = by_recording(ways | {"e400_audio.wav": cut("e400_audio")})
    with running(tmp_path, api, analyzer={"probe": "0.2s"}) as service:
        for name in (*ways, "e400_audio.wav"):
            service.drop(name)
        service.wait_states(done=len(ways), failed=1)
        rows = service.rows("SELECT state, error_code, possibly_billed FROM recordings ORDER BY state, id")
    assert [(row["error_code"], row["possibly_billed"]) for row in rows] == [
        *[(None, 1)] * len(ways),
        ("corrupt_audio", 0),
    ]


# What concerns every recording holds the queue

GATES: dict[str, list[Script]] = {
    "key": [refuse("e401_key"), refuse("e403")],
    "credit": [refuse("e402")],
    "request": [
        refuse("e400_query"),
        refuse("e400_model"),
        answer(404, b"not found"),
        answer(407, b"<html>proxy</html>"),
    ],
    "service": [refuse("e503"), answer(502, b"<html>bad gateway</html>")],
}


@pytest.mark.parametrize("cause", list(GATES))
def test_what_concerns_all_fails_none_and_ends_by_itself(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink, cause: str
) -> None:
    """A3, A4, A5, A7: paused with its reason, told once, single probes, and on again when it is over."""
    with running(tmp_path, api, **telling(sink)) as service:
        told: list[str] = []
        for round_, refusal in enumerate(GATES[cause], 1):
            api.script = refusal
            for number in range(8):
                service.drop(f"{round_}-{number}.wav")
            service.wait_row("SELECT 1 FROM (SELECT count(*) AS n FROM recordings) WHERE n = ?", 8 * round_)
            pause = service.wait_row("SELECT * FROM pauses")
            wait_until(lambda: "analyzing" not in service.states(), what="the first requests to end")
            told.append("paused")
            wait_told(sink, *told)
            before = len(api.calls)
            api.wait_for_calls(before + 2)
            probes = api.calls[before:]
            assert pause["cause"] == cause
            assert service.states().keys() <= {"waiting", "analyzing", "done"}
            assert overlap(probes) == 1
            starts = [call.started_at for call in probes]
            assert all(later - earlier >= 0.2 for earlier, later in pairwise(starts))
            if round_ == 1:
                assert service.status()["paused"] == {"reason": pause["reason"], "since": pause["since"]}
            api.script = answer()
            service.wait_states(done=8 * round_)
            told.append("goes on")
            wait_told(sink, *told)
            assert service.rows("SELECT * FROM pauses") == []
        recordings = service.rows("SELECT * FROM recordings")
        assert {row["possibly_billed"] for row in recordings} == {1}
        if cause != "service":
            assert {row["attempts"] for row in recordings} == {1}
        # What was heard is noted a moment later.
        states = "SELECT state, count(*) AS n FROM alerts GROUP BY state"
        sent = [{"state": "sent", "n": len(told)}]
        wait_until(lambda: service.rows(states) == sent, what="all that was told to be noted")


def held(api: ScriptedApi, service: Service, sink: HttpSink, name: str, told: list[str]) -> None:
    """Bring the service to where a refused key holds its queue, with two more recordings waiting."""
    api.script = refuse("e401_key")
    service.drop(f"{name}-1.wav")
    service.drop(f"{name}-2.wav")
    told.append("paused")
    wait_told(sink, *told)
    wait_until(lambda: service.states().get("waiting") == 2, what="both to wait")
    # Marked as sent: one that is killed in between sends it again, as promised.
    wait_until(lambda: not service.rows("SELECT 1 FROM alerts WHERE state = 'pending'"), what="the mark")


def restart(service: Service) -> None:
    service.kill()
    service.start()


def renew_key(service: Service) -> None:
    write_key(service.place, "another-key-9876543210\n")


def write_key(place: Path, key: str) -> None:
    temporary = place / "new-key"
    temporary.touch(mode=0o600)
    temporary.write_text(key, encoding="utf-8")
    temporary.rename(place / "key")


WAYS_ON: dict[str, Callable[[Service], object]] = {
    "SIGHUP": lambda service: service.reload(),
    "retry": lambda service: service.earshot("retry", "--failed"),
    "restart": restart,
    "new key file": renew_key,
}


def test_a_held_queue_tries_at_once_when_a_person_acted(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink
) -> None:
    """A4: nobody has to wait for the next probe after a repair: SIGHUP, retry, restart, another key."""
    write_key(tmp_path, CANARY_KEY)
    settings = telling(sink, analyzer={"base_url": api.url, "probe": "1h", "api_key": None})
    settings["analyzer"]["api_key_file"] = str(tmp_path / "key")
    told: list[str] = []
    with Service(tmp_path, settings) as service:
        service.start()
        for number, (way, act) in enumerate(WAYS_ON.items(), 1):
            held(api, service, sink, way, told)
            api.script = answer()
            act(service)
            service.wait_states(done=2 * number)
            told.append("goes on")
            wait_told(sink, *told)
    assert way == "new key file"
    assert api.calls[-1].headers["authorization"] == "Token another-key-9876543210"


def test_trouble_that_lasts_is_told_once(tmp_path: Path, api: ScriptedApi, sink: HttpSink) -> None:
    """A4: one message from the start of a cause to its end, however often it is tried, restarts included."""
    told: list[str] = []
    with running(tmp_path, api, **telling(sink, analyzer={"probe": "1h"})) as service:
        held(api, service, sink, "call", told)
        before = len(api.calls)
        for number, way in enumerate(("SIGHUP", "retry", "restart"), 1):
            WAYS_ON[way](service)
            api.wait_for_calls(before + number)
            service.wait_states(waiting=2)
        assert len(api.calls) == before + 3
        assert paused_reason(service) is not None
        wait_told(sink, "paused")
        assert service.rows("SELECT count(*) AS n FROM alerts")[0]["n"] == 1


def test_one_cause_after_another_is_told_each(tmp_path: Path, api: ScriptedApi, sink: HttpSink) -> None:
    """A4, A5: a good key without credit ends one cause and begins another."""
    with running(tmp_path, api, **telling(sink)) as service:
        held(api, service, sink, "call", [])
        api.script = refuse("e402")
        wait_until(lambda: "credit" in (paused_reason(service) or ""), what="the other cause")
        api.script = answer()
        service.wait_states(done=2)
        wait_until(lambda: len(titles(sink)) == 4, what="four messages")
        assert sum("paused" in title for title in titles(sink)) == 2


def test_a_service_that_fails_again_and_again_wakes_nobody_each_time(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink
) -> None:
    """A3: a few times it is told at once, then only when it lasts; that it is over is told as often."""
    names = itertools.count()
    with running(tmp_path, api, **telling(sink, analyzer={"concurrency": 1})) as service:

        def begin() -> None:
            api.script = refuse("e401_key")
            service.drop(f"{next(names)}.wav")
            service.wait_row("SELECT * FROM pauses")

        def end() -> None:
            api.script = answer()
            wait_until(lambda: not service.rows("SELECT * FROM pauses"), what="the pause to end")

        for _ in range(FLAPS + 2):
            begin()
            end()
        wait_told(sink, *["paused", "goes on"] * FLAPS)
        said = [request.json()["message"] for request in sink.requests]
        assert ["when it lasts for 5 min" in message for message in said[::2]] == [False] * 4 + [True]
        begin()
        with closing(sqlite3.connect(service.database, timeout=10)) as db, db:
            began = iso(datetime.now(UTC) - LASTS)
            db.execute("UPDATE troubles SET since = ? WHERE over_at IS NULL", (began,))
        wait_told(sink, *["paused", "goes on"] * FLAPS, "paused")
        end()
        wait_told(sink, *["paused", "goes on"] * (FLAPS + 1))


def test_a_probe_without_an_answer_is_the_only_request(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink
) -> None:
    """A3, A15: while the queue is held nothing is sent before the probe has ended, however late."""
    with running(tmp_path, api, **telling(sink, analyzer={"timeout": "1.5s"})) as service:
        api.script = refuse("e503")
        for number in range(8):
            service.drop(f"{number}.wav")
        wait_paused(service)
        wait_until(lambda: "analyzing" not in service.states(), what="the first requests to end")
        api.script = lambda conversation: conversation.hang()
        before = len(api.calls)
        api.wait_for_calls(before + 2)
        assert api.calls[before + 1].started_at - api.calls[before].started_at >= 1.4


def test_a_few_failures_are_no_outage(tmp_path: Path, api: ScriptedApi, sink: HttpSink) -> None:
    """A3: single 5xx answers are retried without holding the queue or telling anyone."""
    api.then(refuse("e503"), answer(500, b"oops"))
    with running(tmp_path, api, **telling(sink)) as service:
        for number in range(4):
            service.drop(f"{number}.wav")
        service.wait_states(done=4)
        assert service.rows("SELECT * FROM alerts") == []
    assert len(api.calls) == 6


@pytest.mark.parametrize("way", ["an error", "a lost reply"])
def test_recordings_that_always_fail_hold_up_no_other(
    tmp_path: Path, api: ScriptedApi, sink: HttpSink, way: str
) -> None:
    """A3: a held queue is tried with what has not failed yet; what fails alone from then on holds nobody."""
    bad = [wav(f"bad {number}") for number in range(6)]
    shas = {sha_of(content) for content in bad}
    failing = answer(500, {"err_code": "INTERNAL"}) if way == "an error" else Conversation.close

    def script(conversation: Conversation) -> None:
        (failing if conversation.call.sha256 in shas else answer())(conversation)

    api.script = script
    with running(tmp_path, api, **telling(sink, analyzer={"probe": "5m"})) as service:
        for number, content in enumerate(bad):
            service.drop(f"bad-{number}.wav", content)
        wait_paused(service)
        service.drop("good-0.wav")
        service.wait_row("SELECT 1 FROM recordings WHERE name = 'good-0.wav' AND state = 'done'")
        assert paused_reason(service) is None
        for number in range(1, 4):
            # Some of the six are tried again before each of these.
            api.wait_for_calls(len(api.calls) + 1)
            service.drop(f"good-{number}.wav")
            found = "SELECT 1 FROM recordings WHERE name = ? AND state = 'done'"
            service.wait_row(found, f"good-{number}.wav")
            assert paused_reason(service) is None
        wait_told(sink, "paused", "goes on")


def test_however_many_that_always_fail_were_there_before_another_is_tried(
    tmp_path: Path, api: ScriptedApi
) -> None:
    """A3: a held queue is tried from both ends, not with all that will fail before what will not."""
    shas = {sha_of(wav(f"bad {number}")) for number in range(20)}

    def script(conversation: Conversation) -> None:
        answer(500 if conversation.call.sha256 in shas else 200)(conversation)

    api.script = script
    with running(tmp_path, api) as service:
        for number in range(20):
            service.drop(f"bad-{number}.wav", wav(f"bad {number}"))
        wait_paused(service)
        service.drop("good.wav")
        service.wait_row("SELECT 1 FROM recordings WHERE name = 'good.wav' AND state = 'done'")


def test_a_recording_that_fails_alone_is_given_up_in_the_end(tmp_path: Path, api: ScriptedApi) -> None:
    """A3: a 5xx for one recording alone is its own trouble, once `retry_for` is over."""
    bad = sha_of(wav("bad.wav"))
    refusal = refuse("e503")

    def script(conversation: Conversation) -> None:
        refusal(conversation) if conversation.call.sha256 == bad else conversation.reply()

    api.script = script
    with running(tmp_path, api, analyzer={"retry_for": "0.1s"}) as service:
        service.drop("bad.wav")
        service.drop("good.wav")
        service.wait_states(failed=1, done=1)
        row = service.rows("SELECT * FROM recordings WHERE state = 'failed'")[0]
        assert row["error_code"] == "gave_up"
        assert row["possibly_billed"] == 0


def test_the_key_is_only_ever_in_its_header(tmp_path: Path, api: ScriptedApi) -> None:
    """A21: no key in addresses, logs or the database, whatever goes wrong."""
    api.then(
        refuse("e401_key"), answer(200, b"{}"), lambda conversation: conversation.reset(), refuse("e503")
    )
    with running(tmp_path, api, analyzer={"probe": "0.2s"}) as service:
        service.drop("call.wav")
        service.wait_states(done=1)
        service.stop()
        assert {call.headers["authorization"] for call in api.calls} == {f"Token {CANARY_KEY}"}
        assert CANARY_KEY not in service.log()
        assert CANARY_KEY.encode() not in service.database.read_bytes()
