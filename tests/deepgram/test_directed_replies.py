"""Replies made to swell: each is read in time and memory in proportion to its size, or is no reply."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.deepgram.reading import read
from tests.harness import ScriptedApi, answer, running

MEGABYTE = 1024 * 1024


def spoken(words: list[dict[str, Any]] | int, **results: Any) -> bytes:
    """A body with these words, or so many by two speakers in turn, and these sections."""
    if isinstance(words, int):
        words = [
            {"word": "ab", "start": float(n), "end": n + 0.5, "speaker": n % 7 // 4} for n in range(words)
        ]
    transcript = " ".join(["ab"] * len(words))
    channel = {"alternatives": [{"transcript": transcript, "confidence": 0.9, "words": words}]}
    return json.dumps(
        {"metadata": {"duration": 60.0, "channels": 1}, "results": {"channels": [channel], **results}}
    ).encode()


def section(passages: int, *, labels: int, text: int, name: str = "topics", **span: int) -> dict[str, Any]:
    """Passages, each with so many labels and so long a text."""
    inner = [{name[:-1]: f"l{n}", "confidence_score": 0.5} for n in range(labels)]
    return {"segments": [{"text": "x" * text, **span, name: inner}] * passages}


def labels_of_one_long_passage(n: int) -> bytes:
    return spoken(50, topics=section(1, labels=n // 80, text=n // 2, start_word=0, end_word=49))


def passages_that_span_all_words(n: int) -> bytes:
    every = section(n // 150, labels=1, text=1, start_word=0, end_word=10**8)
    return spoken(n // 150, topics=every, intents={"segments": []})


def passages_of_many_speakers(n: int) -> bytes:
    words = [{"word": "ab", "speaker": number} for number in range(n // 80)]
    return spoken(words, topics=section(n // 160, labels=1, text=1, start_word=0, end_word=10**8))


def words_of_one_letter(n: int) -> bytes:
    channel = {"alternatives": [{"transcript": "a " * (n // 2)}]}
    return json.dumps({"metadata": {}, "results": {"channels": [channel]}}).encode()


def one_long_string_everywhere(n: int) -> bytes:
    long = "é" * (n // 20)
    body = json.loads(spoken(10, topics=section(1, labels=1, text=1), summary={"short": long}))
    body["metadata"] |= {"request_id": long, "warnings": [{"parameter": "topics", "type": long}]}
    body["results"]["channels"][0]["detected_language"] = long
    body["results"]["topics"]["segments"][0]["topics"][0]["topic"] = long
    average = {"sentiment": long, "sentiment_score": -0.5}
    body["results"]["sentiments"] = {"segments": [{"text": long, "sentiment": long}], "average": average}
    return json.dumps(body, ensure_ascii=False).encode()


def empty_channels(n: int) -> bytes:
    return b'{"metadata": {}, "results": {"channels": [' + b"{}," * (n // 3) + b"{}]}}"


def warnings_without_end(n: int) -> bytes:
    body = json.loads(spoken(10))
    body["metadata"]["warnings"] = [{"parameter": "topics", "type": "x"}] * (n // 40)
    return json.dumps(body).encode()


DIRECTED: list[Callable[[int], bytes]] = [
    labels_of_one_long_passage,
    passages_that_span_all_words,
    passages_of_many_speakers,
    words_of_one_letter,
    one_long_string_everywhere,
    empty_channels,
    warnings_without_end,
]


def read_apart(place: Path, *bodies: tuple[bytes, int]) -> list[dict[str, Any]]:
    """What processes say that read these bodies one after the other, each with so many megabytes for it."""
    arguments: list[str] = []
    for number, (body, megabytes) in enumerate(bodies):
        file = place / f"{number}.json"
        file.write_bytes(body)
        arguments += str(file), str(megabytes)
    done = subprocess.run(
        [sys.executable, "-m", "tests.deepgram.reading", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, f"{[len(body) for body, _ in bodies]} bytes: {done.stderr[-1500:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_twice_the_reply_takes_twice_the_time_and_a_bounded_memory(tmp_path: Path) -> None:
    bodies = [
        (directed(size), megabytes)
        for directed in DIRECTED
        for size, megabytes in ((MEGABYTE // 4, 40), (MEGABYTE // 2, 60))
    ]
    found = read_apart(tmp_path, *bodies)

    for directed, once, twice in zip(DIRECTED, found[::2], found[1::2], strict=True):
        assert twice["seconds"] < 3 * once["seconds"] + 0.2, (directed.__name__, once, twice)


def test_a_body_of_nothing_but_values_is_no_reply_and_takes_no_memory(tmp_path: Path) -> None:
    bodies = b"[" * 40_000_000, b"[" + b"{}," * 13_000_000 + b"{}]", b'{"":' * 10_000_000

    for found in read_apart(tmp_path, *((body, 60) for body in bodies)):
        assert found["doubtful"].startswith("the reply is no JSON")


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "1" * 4000, "-" + "1" * 4000, "1e-999", "0.5", "true", "null", '"7"', "[]"]
)
def test_a_number_of_any_kind_in_any_place_breaks_nothing(number: str) -> None:
    body = spoken(20, topics=section(2, labels=1, text=3, start_word=77, end_word=77))
    body = body.replace(b": 77", f": {number}".encode()).replace(b": 0.5", f": {number}".encode())

    assert len(read(body.replace(b": 60.0", f": {number}".encode())).topics) == 2


def test_of_a_key_that_comes_twice_the_last_counts_and_words_may_lack_anything() -> None:
    words = b'{"word": "ab"}, {}, null, 3, {"speaker": null, "start": "x"}, {"speaker": 2, "speaker": 1}'
    body = spoken(0, topics=section(1, labels=1, text=2, start_word=0, end_word=5))
    body = body.replace(b'"words": []', b'"words": [], "words": [' + words + b"]")

    (topic,) = read(body.replace(b'"transcript": ""', b'"transcript": "a"')).topics

    assert (topic.speaker, topic.start_seconds, topic.end_seconds) == ("speaker 1", None, None)


def three_hours() -> bytes:
    """A call of three hours, as large as replies to it may get: words, utterances, sections."""
    word = {
        "start": 10000.123,
        "end": 10000.456,
        "confidence": 0.99902344,
        "speaker": 1,
        "speaker_confidence": 0.81640625,
        "punctuated_word": "something,",
        "sentiment": "neutral",
        "sentiment_score": 0.12397058308124542,
    }
    words = [{"word": f"w{n:06}", **word} for n in range(36_000)]
    text = " ".join(str(each["word"]) for each in words)
    sentences = [(first, min(first + 9, len(words) - 1)) for first in range(0, len(words), 10)]
    passages = [
        {"text": text[first * 8 : last * 8 + 7], "start_word": first, "end_word": last}
        for first, last in sentences
    ]
    labels = [{"topic": f"topic {n}", "confidence_score": 0.01} for n in range(3)]
    average = {"sentiment": "neutral", "sentiment_score": -0.1}
    results = {
        "channels": [{"alternatives": [{"transcript": text, "confidence": 0.9, "words": words}]}],
        "utterances": [{"transcript": text[:80], "words": words[i : i + 10]} for i in range(0, 36_000, 10)],
        "sentiments": {
            "segments": [each | {"sentiment": "neutral", "sentiment_score": -0.1} for each in passages],
            "average": average,
        },
        "topics": {"segments": [each | {"topics": labels} for each in passages]},
        "intents": {"segments": [each | {"intents": [{"intent": "ask"}]} for each in passages]},
        "summary": {"result": "success", "short": "A long call."},
    }
    return json.dumps({"metadata": {"duration": 10800.0, "channels": 1}, "results": results}).encode()


def test_a_call_of_three_hours_is_read_whole_and_passages_without_end_are_cut_and_said_to_be(
    tmp_path: Path,
) -> None:
    body = three_hours()
    assert len(body) > 15 * MEGABYTE
    many = spoken(100, topics=section(60_000, labels=1, text=1))

    found, cut = read_apart(tmp_path, (body, 200), (many, 100))

    assert found["not_analyzed"] == {}
    assert found["passages"] == [3600, 10_800, 3600]
    assert found["texts"] == [3600 * 79, 3 * 3600 * 79, 3600 * 79]
    assert found["speakers"] == ["speaker 1"] * 3
    assert found["transcript"] == 36_000 * 8 - 1
    assert cut["passages"] == [0, 50_000, 0]
    assert cut["not_analyzed"]["topics"] == "too many passages"


def test_a_service_that_is_answered_so_stays_small_and_says_what_it_left_out(tmp_path: Path) -> None:
    bodies = [labels_of_one_long_passage(MEGABYTE // 2), passages_that_span_all_words(MEGABYTE // 2)] * 2
    with ScriptedApi() as api, running(tmp_path, api) as service:
        api.then(*(answer(200, body) for body in bodies))
        for number in range(len(bodies)):
            service.drop(f"{number}.wav")
        service.wait_states(done=len(bodies))

        assert service.process is not None
        status = Path(f"/proc/{service.process.pid}/status").read_text(encoding="ascii")
        peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        assert peak < 300 * 1024, f"{peak} kB"
        assert service.log().count('reply too large, cut request_id=None cut=["texts of topics"]') == 2
        (size,) = service.rows("SELECT sum(length(text)) AS n FROM topics")
        assert size["n"] < 2 * MEGABYTE
