"""The embedded engine over real HTTP: a server child process, real recordings, real recognition."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import numpy as np
import pytest

from daemon.config.models import Engine as Configured
from daemon.engine.decode import SAMPLE_RATE
from daemon.runtime.engine_process import settings_of
from tests import processes
from tests.engine.recordings import encoded, sample, sound
from tests.engine.running import serving
from tests.servers import client

DEADLINE_SECONDS = 60.0
EVERYTHING: dict[str, Any] = {"summarize": "v2", "topics": "true", "intents": "true", "sentiment": "true"}
INTENTS: dict[str, Any] = {
    "custom_intent": ["cancel subscription", "request refund"],
    "custom_intent_mode": "strict",
    "custom_topic": "billing",
    "custom_topic_mode": "strict",
}
COMPLAINT = encoded([sound(sample("complaint"))[15 * SAMPLE_RATE :]])
"""Without its beginning: what is longer than half a minute takes twice the time."""
CORRUPT = "Bad Request: failed to process audio: corrupt or unsupported data"


@dataclass(frozen=True)
class Engine:
    """A running `earshot engine`, the address that it told, and where its owner writes to it."""

    process: processes.Process
    url: str
    owner: IO[bytes]

    def listen(self, body: bytes, *, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
        return client().post(
            f"{self.url}/v1/listen", params=query, content=body, headers=headers, timeout=110
        )


@contextmanager
def running(config: Path | None = None) -> Iterator[Engine]:
    """Start one by its configuration, as a person does, or else as the service does, with which it ends."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stdin, os.fdopen(writing, "wb", buffering=0) as owner:
        owner.write(settings_of(Configured(model="tiny.en")).to_json())
        options = () if config else ("--exit-with-stdin",)
        with serving(config, "--port", "0", *options, stdin=stdin) as (url, process):
            try:
                yield Engine(process, url, owner)
            finally:
                process.kill()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "engine.yaml"
    file.write_text("engine: {model: tiny.en}\n", "utf-8")
    return file


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with running() as engine:
        yield engine


@pytest.fixture(scope="module")
def complaint(engine: Engine) -> dict[str, Any]:
    """The engine's reply to the sample complaint, with every feature asked for."""
    reply = engine.listen(
        COMPLAINT,
        smart_format="true",
        utterances="true",
        diarize_model="latest",
        **EVERYTHING,
        **INTENTS,
    )
    assert reply.status_code == 200
    return dict(reply.json())


def transcript_words(reply: dict[str, Any], channel: int = 0) -> list[str]:
    return [word["word"] for word in reply["results"]["channels"][channel]["alternatives"][0]["words"]]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def workers_of(pid: int) -> list[int]:
    return [worker for template in children_of(pid) for worker in children_of(template)]


def wait_for_workers(engine: Engine, *, but: int = 0) -> list[int]:
    found: list[int] = []

    def look() -> bool:
        found[:] = [pid for pid in workers_of(engine.process.pid) if pid != but]
        return bool(found)

    wait_until(look)
    return found


def children_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in children.read_text().split()] if children.exists() else []


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


# what comes out of a recording


def test_an_unhappy_call_is_negative_on_average(complaint: dict[str, Any]) -> None:
    average = complaint["results"]["sentiments"]["average"]
    assert average["sentiment"] == "negative"
    assert average["sentiment_score"] < -0.45


def test_the_intents_asked_for_are_found_where_they_were_said(complaint: dict[str, Any]) -> None:
    found = {
        intent["intent"]: segment["text"]
        for segment in complaint["results"]["intents"]["segments"]
        for intent in segment["intents"]
    }
    assert set(found) == {"cancel subscription", "request refund"}
    assert "cancel my subscription" in found["cancel subscription"]
    assert "refund" in found["request refund"]


def test_a_happy_call_is_positive_and_has_none_of_the_complaints_intents(engine: Engine) -> None:
    reply = engine.listen(encoded([sound(sample("thanks"), 8)]), **EVERYTHING, **INTENTS).json()
    assert reply["results"]["sentiments"]["average"]["sentiment"] == "positive"
    assert reply["results"]["intents"]["segments"] == []


def test_words_carry_times_and_confidence(complaint: dict[str, Any]) -> None:
    alternative = complaint["results"]["channels"][0]["alternatives"][0]
    words = alternative["words"]
    assert alternative["confidence"] > 0.7
    assert all(0 <= word["confidence"] <= 1 for word in words)
    assert all(word["start"] < word["end"] for word in words)
    assert [word["start"] for word in words] == sorted(word["start"] for word in words)
    assert words[-1]["end"] <= complaint["metadata"]["duration"]
    assert " ".join(word["punctuated_word"] for word in words) == alternative["transcript"]


def test_one_who_speaks_alone_is_speaker_0(complaint: dict[str, Any]) -> None:
    words = complaint["results"]["channels"][0]["alternatives"][0]["words"]
    assert {word["speaker"] for word in words} == {0}
    assert "warnings" not in complaint["metadata"]


def test_metadata_describes_the_upload(complaint: dict[str, Any]) -> None:
    metadata = complaint["metadata"]
    assert metadata["sha256"] == hashlib.sha256(COMPLAINT).hexdigest()
    assert metadata["duration"] == pytest.approx(len(sound(COMPLAINT)) / SAMPLE_RATE, abs=0.01)
    assert metadata["channels"] == 1
    assert list(metadata["model_info"]) == metadata["models"]
    assert "warnings" not in metadata


@pytest.mark.parametrize("section", ["sentiments", "intents", "topics"])
def test_a_segments_text_is_its_words_by_inclusive_index(complaint: dict[str, Any], section: str) -> None:
    words = complaint["results"]["channels"][0]["alternatives"][0]["words"]
    segments = complaint["results"][section]["segments"]
    assert segments
    for segment in segments:
        spoken = words[segment["start_word"] : segment["end_word"] + 1]
        assert " ".join(word["punctuated_word"] for word in spoken) == segment["text"]


def test_a_summary_consists_of_the_recordings_own_sentences(complaint: dict[str, Any]) -> None:
    summary = complaint["results"]["summary"]
    assert summary["result"] == "success"
    sentences = [segment["text"] for segment in complaint["results"]["sentiments"]["segments"]]
    quoted = [text for text in sentences if text in summary["short"]]
    assert " ".join(quoted) == summary["short"]
    assert 1 < len(quoted) < len(sentences)


def test_paragraphs_and_utterances_hold_the_whole_transcript(complaint: dict[str, Any]) -> None:
    alternative = complaint["results"]["channels"][0]["alternatives"][0]
    paragraphs = alternative["paragraphs"]
    assert paragraphs["transcript"].replace("Speaker 0: ", "").split() == alternative["transcript"].split()
    assert sum(p["num_words"] for p in paragraphs["paragraphs"]) == len(alternative["words"])
    assert " ".join(u["transcript"] for u in complaint["results"]["utterances"]) == alternative["transcript"]


def test_tags_and_extra_come_back(engine: Engine) -> None:
    metadata = engine.listen(sample("silence"), tag=["a", "b"], extra="job:7:x").json()["metadata"]
    assert metadata["tags"] == ["a", "b"]
    assert metadata["extra"] == {"job": "7:x"}


def test_a_parameter_beyond_the_engine_is_warned_of_not_silently_ignored(engine: Engine) -> None:
    metadata = engine.listen(sample("silence"), redact="pci", diarize="false").json()["metadata"]
    assert [(w["parameter"], w["type"]) for w in metadata["warnings"]] == [
        ("redact", "unsupported_parameter")
    ]


# recordings that are not plain English speech in one channel


def test_silence_gives_an_empty_transcript_and_no_intelligence(engine: Engine) -> None:
    reply = engine.listen(sample("silence"), **EVERYTHING)
    assert reply.status_code == 200
    alternative = reply.json()["results"]["channels"][0]["alternatives"][0]
    assert alternative == {"transcript": "", "confidence": 0.0, "words": []}
    assert set(reply.json()["results"]) == {"channels"}


def test_each_channel_is_recognized_apart(engine: Engine) -> None:
    left, right = sound(sample("complaint"), 5), sound(sample("thanks"), 7)[2 * SAMPLE_RATE :]
    reply = engine.listen(encoded([left, right]), multichannel="true", sentiment="true", nonsense="1").json()
    assert set(reply["results"]) == {"channels", "sentiments"}, "only what was asked for"
    assert reply["metadata"]["channels"] == len(reply["results"]["channels"]) == 2
    assert "terrible" in transcript_words(reply, 0)
    assert "terrible" not in transcript_words(reply, 1)
    assert "wonderful" in transcript_words(reply, 1)
    segments = reply["results"]["sentiments"]["segments"]
    words = len(transcript_words(reply, 0)) + len(transcript_words(reply, 1))
    assert [segments[0]["start_word"], segments[-1]["end_word"]] == [0, words - 1]


# what is refused


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"this is no recording\n" * 500, id="text"),
        pytest.param(random.Random(2).randbytes(50_000), id="random"),
        pytest.param(encoded([np.zeros(1, np.float32)])[:44], id="header-only"),
    ],
)
def test_what_is_no_recording_is_refused_as_deepgram_does(engine: Engine, body: bytes) -> None:
    reply = engine.listen(body)
    assert reply.status_code == 400
    assert reply.json() == {
        "err_code": "Bad Request",
        "err_msg": CORRUPT,
        "request_id": reply.headers["dg-request-id"],
    }


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"sentiment": "yes"}, "INVALID_QUERY_PARAMETER"),
        ({"summarize": "v3"}, "INVALID_QUERY_PARAMETER"),
        ({"custom_intent_mode": "loose"}, "INVALID_QUERY_PARAMETER"),
        ({"custom_topic": [f"topic {n}" for n in range(101)]}, "INVALID_QUERY_PARAMETER"),
        ({"utt_split": "nan"}, "INVALID_QUERY_PARAMETER"),
        ({"language": "de"}, "Bad Request"),
        ({"language": "multi"}, "Bad Request"),
    ],
)
def test_a_parameter_outside_its_values_is_refused(engine: Engine, query: dict[str, Any], code: str) -> None:
    reply = engine.listen(sample("silence"), **query)
    assert reply.status_code == 400
    assert reply.json()["err_code"] == code


def test_a_url_is_refused_because_the_engine_downloads_nothing(engine: Engine) -> None:
    headers = {"Content-Type": "application/json"}
    reply = engine.listen(b'{"url": "https://example.org/a.wav"}', headers=headers)
    assert (reply.status_code, reply.json()["err_code"]) == (400, "REMOTE_CONTENT_ERROR")
    reply = engine.listen(b"[" * 100_000, headers=headers)
    assert (reply.status_code, reply.json()["err_code"]) == (400, "Bad Request")


def test_more_than_two_gigabytes_are_refused_before_they_are_sent(engine: Engine) -> None:
    connection = http.client.HTTPConnection(engine.url.removeprefix("http://"), timeout=DEADLINE_SECONDS)
    connection.putrequest("POST", "/v1/listen")
    connection.putheader("Content-Length", str(2 * 10**9 + 1))
    connection.endheaders()
    reply = connection.getresponse()
    assert (reply.status, json.load(reply)["err_code"]) == (413, "PAYLOAD_TOO_LARGE")
    connection.close()


def test_any_key_is_good_and_projects_can_be_asked_for(engine: Engine) -> None:
    headers = {"Authorization": "Token whatever"}
    reply = client().get(f"{engine.url}/v1/projects", headers=headers)
    assert (reply.status_code, reply.json()) == (200, {"projects": []})


def test_an_unknown_address_or_method_is_answered_in_deepgrams_error_shape(engine: Engine) -> None:
    for path, status, allowed in (("nothing", 404, None), ("listen", 405, "POST")):
        reply = client().get(f"{engine.url}/v1/{path}")
        assert (reply.status_code, reply.headers.get("Allow")) == (status, allowed)
        assert set(reply.json()) == {"err_code", "err_msg", "request_id"}


# the server's life


def test_hanging_up_ends_the_work(engine: Engine) -> None:
    patience = httpx.Timeout(60, read=1)
    with pytest.raises(httpx.ReadTimeout):
        client().post(f"{engine.url}/v1/listen", content=sample("complaint") * 3, timeout=patience)
    wait_until(lambda: not workers_of(engine.process.pid))


def test_a_recording_whose_worker_is_killed_is_tried_once_more_and_then_refused(engine: Engine) -> None:
    """The kernel kills the one that takes most memory, which need not be the one to blame."""
    with ThreadPoolExecutor(1) as pool:
        once = pool.submit(engine.listen, encoded([sound(sample("complaint"), 5)]))
        (first,) = wait_for_workers(engine)
        os.kill(first, signal.SIGKILL)
        assert once.result(DEADLINE_SECONDS).status_code == 200
        always = pool.submit(engine.listen, sample("complaint"))
        (first,) = wait_for_workers(engine)
        os.kill(first, signal.SIGKILL)
        (second,) = wait_for_workers(engine, but=first)
        os.kill(second, signal.SIGKILL)
        refused = always.result(DEADLINE_SECONDS)
    assert (refused.status_code, refused.json()["err_msg"]) == (400, CORRUPT)


@pytest.mark.parametrize("end", ["stdin", "kill"])
def test_engine_and_workers_die_with_their_owner(end: str) -> None:
    with running() as engine, ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.listen, sample("complaint"))
        workers = wait_for_workers(engine)
        if end == "kill":
            engine.process.kill()
        else:
            engine.owner.close()
        engine.process.wait(DEADLINE_SECONDS)
        wait_until(lambda: not any(is_running(pid) for pid in workers))
        assert isinstance(future.exception(DEADLINE_SECONDS), httpx.TransportError)


def test_a_signal_lets_the_recognition_under_way_finish(config: Path) -> None:
    with running(config) as engine, ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.listen, encoded([sound(sample("complaint"), 5)]))
        wait_until(lambda: bool(workers_of(engine.process.pid)))
        engine.process.send_signal(signal.SIGTERM)
        assert "terrible" in transcript_words(future.result(DEADLINE_SECONDS).json())
        assert engine.process.wait(DEADLINE_SECONDS) == 0


def test_an_interrupt_lets_the_upload_under_way_finish(config: Path) -> None:
    with running(config) as engine:
        body = sample("silence")
        address = engine.url.removeprefix("http://")
        with closing(http.client.HTTPConnection(address, timeout=DEADLINE_SECONDS)) as connection:
            connection.putrequest("POST", "/v1/listen")
            connection.putheader("Content-Length", str(len(body)))
            connection.putheader("Expect", "100-continue")
            connection.endheaders()
            assert connection.sock.recv(100).startswith(b"HTTP/1.1 100 "), "it reads the body now"
            engine.process.send_signal(signal.SIGINT)
            wait_until(lambda: not accepts(address))
            connection.send(body)
            assert connection.getresponse().status == 200
        assert engine.process.wait(DEADLINE_SECONDS) == 130


def accepts(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port))).close()
    except OSError:
        return False
    return True
