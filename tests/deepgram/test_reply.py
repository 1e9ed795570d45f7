"""What replies of the API say, and that nothing in one makes more trouble than DoubtfulReplyError."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from daemon.deepgram.reply import parse_body, read_reply
from daemon.errors import DoubtfulReplyError
from daemon.models import Analysis, NewRecording
from daemon.storage.database import memory_database, transaction
from daemon.storage.queue import add
from daemon.storage.results import store_result
from tests.deepgram.asking import request
from tests.harness import sample

NOW = datetime(2026, 8, 1, 12, 0, tzinfo=UTC)
RECORDED = Path(__file__).parents[3] / "shared" / "data" / "deepgram" / "recorded"
FEATURES = {"summary", "topics", "intents", "sentiment"}
DELETE = object()


def read(content: dict[str, Any], **settings: Any) -> Analysis:
    """What a reply says, on the way that a received body takes."""
    return read_reply(parse_body(json.dumps(content).encode()), request(**settings))


def speech(words: int) -> dict[str, Any]:
    """A transcription of so many words, one a second, and nothing else."""
    spoken: list[dict[str, Any]] = [
        {"word": f"w{n}", "start": float(n), "end": n + 0.5, "speaker": 0} for n in range(words)
    ]
    transcript = " ".join(word["word"] for word in spoken)
    return {
        "metadata": {"duration": float(words), "channels": 1},
        "results": {"channels": [{"alternatives": [{"transcript": transcript, "words": spoken}]}]},
    }


def with_topics(words: int, *spans: tuple[object, object]) -> dict[str, Any]:
    content = speech(words)
    content["results"]["topics"] = {
        "segments": [
            {
                "text": "t",
                "start_word": start,
                "end_word": end,
                "topics": [{"topic": "x", "confidence_score": 0.1}],
            }
            for start, end in spans
        ]
    }
    return content


# The samples


def test_a_full_reply_says_all_it_has() -> None:
    analysis = read(sample("full_diarized"))

    assert analysis.request_id == "4bda55e2-4327-472c-ab7f-9933bf326c2a"
    assert (analysis.model, analysis.language) == ("nova-3", "en")
    assert (analysis.duration_seconds, analysis.channels, analysis.confidence) == (16.44, 1, 0.99902344)
    assert analysis.transcript.startswith("Parker Scarves. How may I help you?")
    assert analysis.summary is not None
    assert analysis.summary.startswith("The customer called to complain about a scarf")
    assert (analysis.average_sentiment, analysis.average_sentiment_score) == ("neutral", -0.2750294332234365)
    assert analysis.not_analyzed == {}
    spans = [
        (item.start_word, item.end_word, item.start_seconds, item.end_seconds) for item in analysis.sentiments
    ]
    assert spans == [(0, 23, 1.04, 7.84), (24, 52, 8.16, 15.44)]
    assert [(item.label, item.score) for item in analysis.sentiments] == [
        ("neutral", -0.15885239839553833),
        ("negative", -0.37117594480514526),
    ]
    assert [item.position for item in analysis.sentiments] == [0, 1]
    topic, intent = analysis.topics[0], analysis.intents[0]
    assert (topic.label, topic.score, topic.start_seconds, topic.speaker) == (
        "Scarf wrong color",
        0.00060707016,
        3.76,
        "speaker 1",
    )
    assert (intent.label, intent.score) == ("Resolve scarf order issue", 0.030428033)


def test_the_speaker_of_a_passage_is_who_says_most_of_it() -> None:
    analysis = read(sample("full_diarized"))

    assert [item.speaker for item in analysis.sentiments] == ["speaker 1", "speaker 1"]


def test_a_negative_average_is_negative() -> None:
    analysis = read(sample("negative_average"))

    assert analysis.average_sentiment == "negative"
    assert analysis.average_sentiment_score is not None
    assert analysis.average_sentiment_score <= -1 / 3


def test_silence_is_not_neutral() -> None:
    analysis = read(sample("silent_captured"))

    assert analysis.not_analyzed == dict.fromkeys(FEATURES, "no speech")
    assert analysis.transcript == ""
    assert (analysis.summary, analysis.average_sentiment, analysis.average_sentiment_score) == (
        None,
        None,
        None,
    )
    assert analysis.sentiments == analysis.topics == analysis.intents == ()


@pytest.mark.parametrize("transcript", ["", " ", "\n\t", "\x00"])
def test_a_transcript_of_blanks_is_no_speech(transcript: str) -> None:
    content = sample("silent_captured")
    content["results"]["channels"][0]["alternatives"][0]["transcript"] = transcript

    assert read(content).not_analyzed == dict.fromkeys(FEATURES, "no speech")


def test_a_summary_that_is_the_transcript_is_none() -> None:
    """Deepgram hands text of up to 50 words back as its own summary."""
    analysis = read(sample("short_summary_recorded"))

    assert analysis.summary is None
    assert analysis.not_analyzed["summary"] == "too short"


@pytest.mark.parametrize(("words", "reason"), [(1, "too short"), (50, "too short"), (51, "no result")])
def test_a_section_that_is_missing_has_the_reason_that_its_words_suggest(words: int, reason: str) -> None:
    assert read(speech(words)).not_analyzed == dict.fromkeys(FEATURES, reason)


def test_an_unsupported_language_is_the_reason_that_the_reply_gives() -> None:
    analysis = read(sample("non_english_detected"), options={"detect_language": True})

    assert analysis.not_analyzed == dict.fromkeys(FEATURES, "language")
    assert analysis.summary is None
    assert analysis.language == "es"


def test_features_that_were_not_sent_because_of_the_language_say_so() -> None:
    assert read(speech(60), language="de").not_analyzed == dict.fromkeys(FEATURES, "language")


def test_features_that_were_not_wanted_are_not_kept() -> None:
    analysis = read(sample("full_diarized"), features=["topics"])

    assert analysis.not_analyzed == dict.fromkeys(FEATURES - {"topics"}, "not requested")
    assert (analysis.summary, analysis.average_sentiment) == (None, None)
    assert analysis.sentiments == analysis.intents == ()
    assert analysis.topics


def test_without_a_transcript_no_passage_is_believed() -> None:
    content = sample("full_diarized")
    content["results"]["channels"][0]["alternatives"] = []
    analysis = read(content)

    assert analysis.not_analyzed == dict.fromkeys(FEATURES, "no speech")
    assert analysis.sentiments == analysis.topics == analysis.intents == ()


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("unsupported_language", "language"),
        ("low_confidence", "low confidence"),
        ("no_labels", "none named"),
        ("too_short", "too short"),
        ("brand_new", "brand new"),
        ("", "no result"),
        (None, "no result"),
    ],
)
@pytest.mark.parametrize("place", ["metadata", "top"])
def test_a_warning_is_the_reason_for_a_missing_result(kind: object, reason: str, place: str) -> None:
    content = sample("full_diarized")
    del content["results"]["sentiments"]
    warning = {"parameter": "sentiment", "type": kind}
    (content["metadata"] if place == "metadata" else content)["warnings"] = [warning]
    analysis = read(content)

    assert analysis.not_analyzed == {"sentiment": reason}
    assert analysis.average_sentiment is None


@pytest.mark.parametrize("kind", ["unsupported_language", "low_confidence", "no_labels", "too_short"])
def test_a_warning_that_says_so_makes_a_feature_not_analyzed(kind: str) -> None:
    content = sample("full_diarized")
    content["metadata"]["warnings"] = [{"parameter": "sentiment", "type": kind}]
    assert (read(content).average_sentiment, list(read(content).not_analyzed)) == (None, ["sentiment"])
    assert read(content).sentiments == ()
    assert read(content).intents


@pytest.mark.parametrize("parameter", ["summarize", "sentiment", "topics", "intents"])
def test_a_warning_of_another_kind_takes_no_result_away(parameter: str) -> None:
    content = sample("full_diarized")
    content["metadata"]["warnings"] = [{"parameter": parameter, "type": "deprecated_parameter"}]
    assert read(content) == read(sample("full_diarized"))


@pytest.mark.parametrize("parameter", ["smart_format", "", None, 5, {}])
def test_a_warning_about_something_else_changes_nothing(parameter: object) -> None:
    content = sample("full_diarized")
    content["metadata"]["warnings"] = [{"parameter": parameter, "type": "unsupported_language"}, "x", None]

    assert read(content).not_analyzed == {}


def test_an_excuse_is_no_summary() -> None:
    content = sample("full_diarized")
    content["results"]["summary"] = {
        "result": "failure",
        "short": "The summarization feature is only in English.",
    }
    assert (read(content).summary, read(content).not_analyzed) == (None, {"summary": "language"})
    content["results"]["summary"] = {"result": "failure", "short": "Something else."}
    assert (read(content).summary, read(content).not_analyzed) == (None, {"summary": "no result"})


@pytest.mark.parametrize("section", ["summary", "sentiments", "topics", "intents"])
@pytest.mark.parametrize("value", [DELETE, None, [], {}, "x", 5])
def test_a_missing_section_is_not_analyzed_and_leaves_the_others(section: str, value: object) -> None:
    content = sample("full_diarized")
    if value is DELETE:
        del content["results"][section]
    else:
        content["results"][section] = value

    assert read(content).not_analyzed == {"sentiment" if section == "sentiments" else section: "no result"}


@pytest.mark.parametrize("section", ["topics", "intents"])
def test_an_empty_list_of_segments_is_a_result(section: str) -> None:
    content = sample("full_diarized")
    content["results"][section] = {"segments": []}

    assert read(content).not_analyzed == {}


@pytest.mark.parametrize("section", ["topics", "intents"])
def test_the_nesting_of_the_openapi_file_is_read_as_well(section: str) -> None:
    expected = read(sample("full_diarized"))
    content = sample("full_diarized")
    content["results"][section] = {"results": {section: content["results"][section]}}

    assert read(content) == expected


def test_several_labels_of_one_passage_are_several_segments() -> None:
    content = with_topics(60, (0, 3))
    content["results"]["topics"]["segments"][0]["topics"].append({"topic": "y", "confidence_score": 0.2})
    topics = read(content).topics

    assert [(item.position, item.label, item.end_word) for item in topics] == [(0, "x", 3), (1, "y", 3)]


# Words, channels, speakers


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((0, 9), (0.0, 9.5, "speaker 0")),
        ((0.0, 9.0), (0.0, 9.5, "speaker 0")),
        ((9, 9), (9.0, 9.5, "speaker 0")),
        ((8, 10), (8.0, 9.5, "speaker 0")),
        ((8, 10**6), (8.0, 9.5, "speaker 0")),
        ((5, 4), (5.0, 5.5, "speaker 0")),
        ((5, None), (5.0, 5.5, "speaker 0")),
        ((10, 12), (None, None, None)),
        ((-1, 3), (None, None, None)),
        ((None, 3), (None, None, None)),
        (("0", "3"), (None, None, None)),
        ((True, True), (None, None, None)),
    ],
)
def test_word_indexes_become_seconds_where_there_are_such_words(
    span: tuple[object, object], expected: tuple[float | None, float | None, str | None]
) -> None:
    item = read(with_topics(10, span)).topics[0]

    assert (item.start_seconds, item.end_seconds, item.speaker) == expected


def test_without_diarization_there_is_no_speaker() -> None:
    content = with_topics(10, (0, 3))
    for word in content["results"]["channels"][0]["alternatives"][0]["words"]:
        del word["speaker"]

    assert read(content).topics[0].speaker is None


def two_channels() -> dict[str, Any]:
    content = sample("full_diarized")
    content["results"]["channels"].append(copy.deepcopy(content["results"]["channels"][0]))
    content["results"]["channels"][1]["alternatives"][0] |= {"transcript": "Hello.", "confidence": 0.5}
    content["metadata"]["channels"] = 2
    return content


def test_with_several_channels_nobody_knows_who_spoke_when() -> None:
    analysis = read(two_channels(), folder={"channels": ["customer", "agent"]})

    for item in (*analysis.sentiments, *analysis.topics, *analysis.intents):
        assert (item.start_seconds, item.end_seconds, item.speaker) == (None, None, None)
        assert item.start_word is not None
    assert analysis.channels == 2
    assert analysis.confidence == pytest.approx((0.99902344 + 0.5) / 2)
    first, second = analysis.transcript.splitlines()
    assert first.startswith("customer: Parker Scarves.")
    assert second == "agent: Hello."


def test_channels_without_a_name_are_counted() -> None:
    assert read(two_channels(), folder={"channels": ["customer"]}).transcript.endswith("\nchannel 1: Hello.")


def test_a_channel_on_which_nobody_spoke_has_no_line() -> None:
    content = two_channels()
    content["results"]["channels"][0]["alternatives"][0]["transcript"] = ""

    assert read(content, folder={"channels": ["customer", "agent"]}).transcript == "agent: Hello."


def test_the_one_channel_of_a_recording_names_its_speaker() -> None:
    analysis = read(sample("full_diarized"), folder={"channels": ["voicemail"]})

    assert {item.speaker for item in analysis.sentiments} == {"voicemail"}
    assert analysis.sentiments[0].start_seconds == 1.04


# Anything at all

WRONG: tuple[object, ...] = (
    None,
    "x",
    "",
    [],
    {},
    [[]],
    [None, 5, "x"],
    {"x": {}},
    True,
    -1,
    0,
    7.5,
    1e308,
    10**30,
    -(10**30),
    "1e400",
    math.inf,
    "y" * 100_000,
    "lone \ud800 surrogate",
    "n\x00ul",
    DELETE,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value of a document; of long lists only the first two and the last item."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list):
        for index in sorted({0, 1, len(value) - 1} & set(range(len(value)))):
            yield from places(value[index], (*path, index))


def replaced(content: Any, path: tuple[Any, ...], value: object) -> Any:
    """The document with another value in one place; everything beside the way there is shared."""
    if not path:
        return {} if value is DELETE else value
    changed = copy.copy(content)
    if len(path) == 1 and value is DELETE:
        del changed[path[0]]
    else:
        changed[path[0]] = replaced(content[path[0]], path[1:], value)
    return changed


def trimmed() -> dict[str, Any]:
    """A full reply whose words are few, so that taking it apart is quick."""
    content = sample("full_diarized")
    content["results"].pop("utterances", None)
    content["results"]["channels"][0]["alternatives"][0].pop("paragraphs", None)
    content["results"]["channels"][0]["detected_language"] = "en"
    content["metadata"]["warnings"] = [{"parameter": "model", "type": "x", "message": "y"}]
    return content


def is_sound(analysis: Analysis) -> bool:
    """Numbers are finite and in range, and what is there is not said to be missing."""
    numbers = [analysis.duration_seconds, analysis.estimated_cost_usd]
    scores = [analysis.average_sentiment_score, analysis.confidence]
    for item in (*analysis.sentiments, *analysis.topics, *analysis.intents):
        numbers += [item.start_seconds, item.end_seconds, item.start_word, item.end_word]
        scores.append(item.score)
    return (
        all(number is None or (math.isfinite(number) and 0 <= number < 10**9) for number in numbers)
        and all(score is None or abs(score) <= 1 for score in scores)
        and (analysis.summary is None) == ("summary" in analysis.not_analyzed)
        and (analysis.average_sentiment is None) == ("sentiment" in analysis.not_analyzed)
        and (analysis.average_sentiment_score is None) == ("sentiment" in analysis.not_analyzed)
    )


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.soak), 8])
def test_any_wrong_value_anywhere_is_read_and_stored_or_refused(every: int) -> None:
    content = trimmed()
    asked = request()
    db = memory_database()
    recording_id = add(db, NewRecording("/r/a.wav", False, "/r"), NOW)
    read_count = 0
    for path in list(places(content))[::every]:
        for value in WRONG:
            body = json.dumps(replaced(content, path, value)).replace('"1e400"', "1e400")
            try:
                analysis = read_reply(parse_body(body.encode()), asked)
            except DoubtfulReplyError:
                continue
            read_count += 1
            assert is_sound(analysis), (path, value)
            with transaction(db):
                store_result(db, recording_id, analysis, now=NOW)
    db.close()
    assert read_count > 1000 / every


# Whether it is a reply at all

REPLY = json.dumps(sample("full_diarized")).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"null",
        b"{}",
        b"[]",
        b"5",
        b'"text"',
        b"true",
        b"NaN",
        REPLY[:-1],
        REPLY[: len(REPLY) // 2],
        REPLY + b"x",
        REPLY + REPLY,
        REPLY.replace(b"16.44", b"NaN"),
        REPLY.replace(b"16.44", b"Infinity"),
        REPLY.replace(b"16.44", b"-Infinity"),
        REPLY.replace(b"16.44", b"1" * 10_000),
        REPLY.replace(b"nova-3", b"\xff\xfe"),
        b"<!doctype html><title>502</title>",
        b"\x00" * 100,
        b"\x89PNG\r\n\x1a\n",
        b"[" * 1_000_000,
        b'{"a":' * 200_000,
        b'{"results": ' + b"[" * 1_000_000,
        json.dumps(sample("accepted_callback")).encode(),
        b'{"results": {}, "metadata": {}}',
        b'{"results": {"channels": []}, "metadata": {}}',
        b'{"results": {"channels": [5]}, "metadata": {}}',
        b'{"results": {"channels": [{}, null]}, "metadata": {}}',
        b'{"results": {"channels": {}}, "metadata": {}}',
        b'{"results": {"channels": [{}]}}',
        b'{"results": {"channels": [{}]}, "metadata": []}',
        b'{"err_code": "x", "err_msg": "y", "request_id": "z"}',
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_transcription_is_doubtful_and_kept(body: bytes) -> None:
    with pytest.raises(DoubtfulReplyError) as caught:
        parse_body(body)

    assert caught.value.possibly_billed
    assert caught.value.body == body
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "body",
    [
        REPLY,
        b"\xef\xbb\xbf" + REPLY,
        b"\r\n " + REPLY + b"\n",
        json.dumps(sample("full_diarized"), indent=4, ensure_ascii=False).encode(),
    ],
)
def test_a_reply_is_a_reply_however_it_is_written(body: bytes) -> None:
    assert parse_body(body) == sample("full_diarized")


def test_what_a_lost_reply_was_instead_is_said() -> None:
    bodies = {b"": "it is empty", b"<html>": "web page", REPLY[:99]: "cut off", b"ok": "something else"}
    for body, words in bodies.items():
        with pytest.raises(DoubtfulReplyError, match=words):
            parse_body(body)


def test_the_request_id_of_an_accepted_callback_is_kept() -> None:
    accepted = sample("accepted_callback")
    with pytest.raises(DoubtfulReplyError) as caught:
        parse_body(json.dumps(accepted).encode())
    assert caught.value.request_id == accepted["request_id"]


def test_an_hour_of_words_is_read_in_good_time() -> None:
    content = with_topics(10_000, *((n, n + 5) for n in range(0, 9_000, 3)))

    assert len(read(content).topics) == 3000


# Replies that were recorded, and the shape that the official SDK expects


def recorded() -> list[Path]:
    """Recorded replies of /v1/listen, where they are at hand."""
    files = sorted(RECORDED.glob("*-response.json"))
    return [file for file in files if "channels" in json.loads(file.read_bytes()).get("results", {})]


@pytest.mark.skipif(not recorded(), reason="no recorded replies here")
def test_recorded_replies_are_read() -> None:
    for file in recorded():
        content = json.loads(file.read_bytes())
        analysis = read(content)
        summary = content["results"].get("summary", {}).get("short")

        assert analysis.transcript == content["results"]["channels"][0]["alternatives"][0]["transcript"]
        assert analysis.duration_seconds == content["metadata"]["duration"]
        assert analysis.request_id == content["metadata"]["request_id"]
        assert analysis.summary == (None if analysis.not_analyzed.get("summary") else summary)
        assert is_sound(analysis)


@pytest.mark.parametrize(
    "name",
    [
        "full_diarized",
        "negative_average",
        "silent_captured",
        "short_summary_recorded",
        "non_english_detected",
    ],
)
def test_the_samples_have_the_shape_that_the_official_sdk_knows(name: str) -> None:
    types = pytest.importorskip("deepgram.types")
    content = sample(name)
    theirs = types.ListenV1Response.model_validate(content)
    ours = read(content)

    assert theirs.metadata.request_id == ours.request_id
    assert theirs.metadata.duration == ours.duration_seconds
    assert theirs.results.channels[0].alternatives[0].transcript == ours.transcript
    if theirs.results.sentiments:
        assert theirs.results.sentiments.average.sentiment_score == ours.average_sentiment_score
        assert [item.text for item in theirs.results.sentiments.segments] == [
            item.text for item in ours.sentiments
        ]
    if theirs.results.topics:
        assert [item.topics[0].topic for item in theirs.results.topics.segments] == [
            t.label for t in ours.topics
        ]
    if theirs.results.intents:
        assert [item.intents[0].intent for item in theirs.results.intents.segments] == [
            t.label for t in ours.intents
        ]
