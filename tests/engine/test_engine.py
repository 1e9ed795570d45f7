"""The embedded engine over real HTTP: a server child process, real recordings, real recognition."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

av = pytest.importorskip("av")
pytest.importorskip("daemon.engine.server", exc_type=ImportError)

from daemon.engine.decode import SAMPLE_RATE, pcm_blocks  # noqa: E402
from daemon.engine.recognize import speech_pieces  # noqa: E402

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "daemon" / "samples"
REAL = ROOT.parent / "shared" / "data" / "audio"
SERVE = """
from daemon.engine.access import Access
from daemon.engine.connections import listen_on_port
from daemon.engine.server import serve
from daemon.engine.settings import Settings
from daemon.engine.weights import SENTENCES, find
settings = Settings(models=(str(find(SENTENCES)),))
serve(listen_on_port("127.0.0.1", 0), settings, Access(checks_host=True), exit_with_stdin={})
"""
DEADLINE_SECONDS = 60.0
EVERYTHING: dict[str, Any] = {"summarize": "v2", "topics": "true", "intents": "true", "sentiment": "true"}
INTENTS: dict[str, Any] = {
    "custom_intent": ["cancel subscription", "request refund"],
    "custom_intent_mode": "strict",
    "custom_topic": "billing",
    "custom_topic_mode": "strict",
}
CORRUPT = "Bad Request: failed to process audio: corrupt or unsupported data"


class Engine:
    """A server process and the address it told."""

    def __init__(self, *, exit_with_stdin: bool = True) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVE.format(exit_with_stdin)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:")
        self.url = line.removeprefix("listening on ").rstrip("\n")

    def listen(self, body: bytes, *, headers: dict[str, str] | None = None, **query: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/listen", params=query, content=body, headers=headers, timeout=110)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@contextmanager
def running(*, exit_with_stdin: bool = True) -> Iterator[Engine]:
    engine = Engine(exit_with_stdin=exit_with_stdin)
    try:
        yield engine
    finally:
        engine.close()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with running() as engine:
        yield engine


@pytest.fixture(scope="module")
def complaint(engine: Engine) -> dict[str, Any]:
    """The engine's reply to the sample complaint, with every feature asked for."""
    reply = engine.listen(
        sample("complaint"), smart_format="true", utterances="true", **EVERYTHING, **INTENTS
    )
    assert reply.status_code == 200
    return dict(reply.json())


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.mp3").read_bytes()


def sample_pcm(name: str, seconds: float | None = None) -> array[int]:
    with (SAMPLES / f"{name}.mp3").open("rb") as file:
        samples = array("h", b"".join(pcm_blocks(file)))
    return samples[: int(seconds * SAMPLE_RATE)] if seconds else samples


def encode(
    channels: list[array[int]], container: str = "wav", codec: str = "pcm_s16le", rate: int = 16_000
) -> bytes:
    """Make a recording of 16 kHz channels in any format, at any rate."""
    layout = {1: "mono", 2: "stereo"}[len(channels)]
    output = io.BytesIO()
    interleaved = array("h", (value for frame in zip(*channels, strict=True) for value in frame))
    with av.open(output, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame(format="s16", layout=layout, samples=len(channels[0]))
        frame.sample_rate = SAMPLE_RATE
        frame.planes[0].update(interleaved.tobytes())
        resampler = av.AudioResampler(
            format=stream.format, layout=layout, rate=rate, frame_size=stream.frame_size
        )
        for part in (frame, None):
            for converted in resampler.resample(part):
                file.mux(stream.encode(converted))
        file.mux(stream.encode(None))
    return output.getvalue()


def transcript_words(reply: dict[str, Any], channel: int = 0) -> list[str]:
    return [word["word"] for word in reply["results"]["channels"][channel]["alternatives"][0]["words"]]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def workers_of(pid: int) -> list[int]:
    return [worker for template in children_of(pid) for worker in children_of(template)]


def wait_for_workers(engine: Engine) -> list[int]:
    wait_until(lambda: bool(workers_of(engine.process.pid)))
    return workers_of(engine.process.pid)


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
    reply = engine.listen(encode([sample_pcm("thanks", 13)]), **EVERYTHING, **INTENTS).json()
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


def test_metadata_describes_the_upload(complaint: dict[str, Any]) -> None:
    metadata = complaint["metadata"]
    assert metadata["sha256"] == hashlib.sha256(sample("complaint")).hexdigest()
    assert metadata["duration"] == pytest.approx(len(sample_pcm("complaint")) / SAMPLE_RATE, abs=0.01)
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
    assert paragraphs["transcript"].split() == alternative["transcript"].split()
    assert sum(p["num_words"] for p in paragraphs["paragraphs"]) == len(alternative["words"])
    assert " ".join(u["transcript"] for u in complaint["results"]["utterances"]) == alternative["transcript"]


def test_only_what_was_asked_for_is_in_the_reply(engine: Engine) -> None:
    reply = engine.listen(encode([sample_pcm("complaint", 5)]), sentiment="true", nonsense="1").json()
    assert set(reply["results"]) == {"channels", "sentiments"}


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


def test_an_unreliable_transcript_comes_with_warnings_and_without_intelligence(engine: Engine) -> None:
    noise = random.Random(1)
    noisy = array(
        "h", (max(-32768, min(32767, round(v + noise.gauss(0, 1000)))) for v in sample_pcm("complaint", 6))
    )
    reply = engine.listen(encode([noisy]), **EVERYTHING).json()
    assert reply["results"]["channels"][0]["alternatives"][0]["transcript"]
    assert set(reply["results"]) == {"channels"}
    assert {w["parameter"] for w in reply["metadata"]["warnings"]} == set(EVERYTHING)
    assert {w["type"] for w in reply["metadata"]["warnings"]} == {"low_confidence"}


def test_a_real_phone_call_it_cannot_follow_is_not_judged(engine: Engine) -> None:
    call = REAL / "CallCenterPhoneCall.mp3"
    if not call.exists():
        pytest.skip("the real recordings are not on this machine")
    with call.open("rb") as file:
        start = array("h", b"".join(pcm_blocks(file)))[: 8 * SAMPLE_RATE]
    reply = engine.listen(encode([start]), **EVERYTHING).json()
    assert set(reply["results"]) == {"channels"}
    assert {w["parameter"] for w in reply["metadata"]["warnings"]} == set(EVERYTHING)


def test_real_read_speech_is_mostly_understood(engine: Engine) -> None:
    preamble = REAL / "preamble.wav"
    if not preamble.exists():
        pytest.skip("the real recordings are not on this machine")
    with preamble.open("rb") as file:
        start = array("h", b"".join(pcm_blocks(file)))[: 10 * SAMPLE_RATE]
    reply = engine.listen(encode([start])).json()
    assert {"people", "union", "justice", "tranquility"} <= set(transcript_words(reply))


@pytest.mark.parametrize(
    ("container", "codec", "rate"),
    [
        ("mp3", "libmp3lame", 44_100),
        # Each recognizes the same speech once more, which takes as long as all the rest of a test or two.
        pytest.param("ipod", "aac", 44_100, marks=pytest.mark.soak),
        pytest.param("ogg", "libopus", 48_000, marks=pytest.mark.soak),
        pytest.param("flac", "flac", 48_000, marks=pytest.mark.soak),
    ],
)
def test_formats_give_nearly_the_same_words(
    engine: Engine, complaint: dict[str, Any], container: str, codec: str, rate: int
) -> None:
    words = complaint["results"]["channels"][0]["alternatives"][0]["words"]
    expected = {word["word"] for word in words if word["end"] <= 6}
    body = encode([sample_pcm("complaint", 6)], container, codec, rate)
    heard = set(transcript_words(engine.listen(body).json()))
    assert len(expected & heard) >= 0.8 * len(expected)


def test_each_channel_is_recognized_apart(engine: Engine) -> None:
    left, right = sample_pcm("complaint", 7), sample_pcm("thanks", 7)
    reply = engine.listen(encode([left, right]), multichannel="true", **EVERYTHING).json()
    assert reply["metadata"]["channels"] == len(reply["results"]["channels"]) == 2
    assert "terrible" in transcript_words(reply, 0)
    assert "terrible" not in transcript_words(reply, 1)
    assert "wonderful" in transcript_words(reply, 1)
    segments = reply["results"]["sentiments"]["segments"]
    words = len(transcript_words(reply, 0)) + len(transcript_words(reply, 1))
    assert [segments[0]["start_word"], segments[-1]["end_word"]] == [0, words - 1]


def test_channels_are_mixed_when_not_asked_apart(engine: Engine) -> None:
    speech = sample_pcm("complaint", 5)
    reply = engine.listen(encode([speech, array("h", bytes(2 * len(speech)))])).json()
    assert reply["metadata"]["channels"] == 1
    assert "terrible" in transcript_words(reply)


def test_a_recording_cut_off_in_the_middle_gives_what_is_there(engine: Engine) -> None:
    reply = engine.listen(sample("complaint")[:40_000])
    assert reply.status_code == 200
    assert 5 < reply.json()["metadata"]["duration"] < 8
    assert "terrible" in transcript_words(reply.json())


# what is refused


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"this is no recording\n" * 500, id="text"),
        pytest.param(random.Random(2).randbytes(50_000), id="random"),
        pytest.param(encode([array("h", [0])])[:44], id="header-only"),
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


@pytest.mark.parametrize("rate", [1, 1_000_000_000])
def test_a_header_with_an_absurd_sample_rate_costs_no_time(engine: Engine, rate: int) -> None:
    body = bytearray(encode([sample_pcm("complaint", 5)]))
    at = body.index(b"fmt ") + 12
    body[at : at + 4] = rate.to_bytes(4, "little")
    started = time.monotonic()
    assert engine.listen(bytes(body)).status_code == 400
    assert time.monotonic() - started < 10


def test_a_playlist_cannot_make_the_engine_open_another_file(engine: Engine) -> None:
    target = SAMPLES / "complaint.mp3"
    for playlist in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:30\n#EXTINF:30,\n{target}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{target}'\n",
    ):
        assert engine.listen(playlist.encode()).status_code == 400


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
    reply = httpx.get(f"{engine.url}/v1/projects", headers=headers)
    assert (reply.status_code, reply.json()) == (200, {"projects": []})


def test_an_unknown_address_is_answered_in_deepgrams_error_shape(engine: Engine) -> None:
    reply = httpx.get(f"{engine.url}/v1/nothing")
    assert reply.status_code == 404
    assert set(reply.json()) == {"err_code", "err_msg", "request_id"}


# the server's life


def test_requests_are_answered_while_others_are_recognized(engine: Engine) -> None:
    with ThreadPoolExecutor(2) as pool:
        body = encode([sample_pcm("complaint", 5)])
        slow = [pool.submit(engine.listen, body, sentiment="true") for _ in range(2)]
        wait_until(lambda: len(workers_of(engine.process.pid)) >= 1)
        reply = httpx.get(f"{engine.url}/v1/projects", timeout=5)
        assert reply.status_code == 200
        assert not all(future.done() for future in slow)
        words = [transcript_words(future.result(DEADLINE_SECONDS).json()) for future in slow]
    assert words[0] == words[1] != []


def test_hanging_up_ends_the_work(engine: Engine) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{engine.url}/v1/listen", content=sample("complaint") * 3, timeout=1)
    wait_until(lambda: not workers_of(engine.process.pid))


def test_a_recording_whose_worker_is_killed_is_tried_once_more_and_then_refused(engine: Engine) -> None:
    """The kernel kills the one that takes most memory, which need not be the one to blame."""
    with ThreadPoolExecutor(1) as pool:
        once = pool.submit(engine.listen, sample("silence"))
        (first,) = wait_for_workers(engine)
        os.kill(first, signal.SIGKILL)
        assert once.result(DEADLINE_SECONDS).status_code == 200
        always = pool.submit(engine.listen, sample("complaint"))
        (first,) = wait_for_workers(engine)
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: workers_of(engine.process.pid) not in ([], [first]))
        os.kill(workers_of(engine.process.pid)[0], signal.SIGKILL)
        refused = always.result(DEADLINE_SECONDS)
    assert (refused.status_code, refused.json()["err_msg"]) == (400, CORRUPT)


@pytest.mark.parametrize("end", ["stdin", "kill"])
def test_engine_and_workers_die_with_their_owner(end: str) -> None:
    with running() as engine, ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.listen, sample("complaint"))
        wait_until(lambda: bool(workers_of(engine.process.pid)))
        workers = workers_of(engine.process.pid)
        if end == "kill":
            engine.process.kill()
        else:
            assert engine.process.stdin is not None
            engine.process.stdin.close()
        engine.process.wait(DEADLINE_SECONDS)
        wait_until(lambda: not any(is_running(pid) for pid in workers))
        assert isinstance(future.exception(DEADLINE_SECONDS), httpx.TransportError)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, -signal.SIGINT)])
def test_a_signal_lets_the_request_in_flight_finish(number: signal.Signals, code: int) -> None:
    with running(exit_with_stdin=False) as engine, ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.listen, encode([sample_pcm("complaint", 5)]))
        wait_until(lambda: bool(workers_of(engine.process.pid)))
        engine.process.send_signal(number)
        assert "terrible" in transcript_words(future.result(DEADLINE_SECONDS).json())
        assert engine.process.wait(DEADLINE_SECONDS) == code


# the parts


def test_endless_speech_is_cut_into_pieces_without_losing_any() -> None:
    speech = sample_pcm("complaint", 4)[: 4 * SAMPLE_RATE]
    loud = speech[int(1.5 * SAMPLE_RATE) : int(3.5 * SAMPLE_RATE)] * 40
    pieces = list(speech_pieces([loud.tobytes()]))
    assert len(pieces) > 1
    assert all(len(piece.pcm) <= 31 * 2 * SAMPLE_RATE for piece in pieces)
    for before, after in pairwise(pieces):
        assert after.start >= before.start + len(before.pcm) / (2 * SAMPLE_RATE) - 0.5
    assert sum(len(piece.pcm) for piece in pieces) > 0.9 * 2 * len(loud)
