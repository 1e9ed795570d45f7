"""Cutting a transcript that is too long, and putting together what its parts give."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daemon.deepgram.parts import Part, cut, merge, missing_parts, parse_part, words_of
from daemon.errors import DoubtfulReplyError
from tests.harness import sample

WORDS = ["One", "two.", "Three", "four", "five.", "Six.", "Seven", "eight", "nine", "ten", "eleven."]


@pytest.mark.parametrize("most", [1, 2, 3, 4, 6, 8, 11, 100])
def test_parts_hold_every_word_once_in_order_and_none_is_longer_than_allowed(most: int) -> None:
    parts = cut(WORDS, most)

    assert " ".join(part.text for part in parts).split() == WORDS
    assert all(part.words <= most for part in parts)
    assert [part.first_word for part in parts] == [sum(p.words for p in parts[:i]) for i in range(len(parts))]


def test_parts_end_where_sentences_end() -> None:
    texts = [part.text for part in cut(WORDS, 6)]

    assert texts == ["One two. Three four five. Six.", "Seven eight nine ten eleven."]


def test_a_sentence_longer_than_a_part_is_cut_within() -> None:
    assert [part.words for part in cut(["word"] * 10, 4)] == [4, 4, 2]


def test_an_empty_transcript_has_no_parts() -> None:
    assert cut([], 10) == []


def read_reply(score: float, words: int, *, summary: str = "") -> dict[str, Any]:
    segment = {"text": "t", "start_word": 0, "end_word": words - 1}
    return {
        "metadata": {"sentiment_info": {"input_tokens": 10, "output_tokens": 1}},
        "results": {
            "summary": {"text": summary},
            "sentiments": {
                "segments": [segment | {"sentiment": "x", "sentiment_score": score}],
                "average": {"sentiment": "x", "sentiment_score": score},
            },
            "topics": {"segments": [segment | {"topics": [{"topic": "a", "confidence_score": 0.5}]}]},
            "intents": {"segments": []},
        },
    }


PARTS = [Part("a b c", 0, 3), Part("d", 3, 1)]


def test_merged_segments_count_words_in_the_whole_transcript() -> None:
    merged = merge(sample("full_diarized"), PARTS, [read_reply(0.1, 3), read_reply(0.2, 1)])["results"]

    assert [(s["start_word"], s["end_word"]) for s in merged["sentiments"]["segments"]] == [(0, 2), (3, 3)]
    assert [(s["start_word"], s["end_word"]) for s in merged["topics"]["segments"]] == [(0, 2), (3, 3)]
    assert merged["intents"]["segments"] == []


@pytest.mark.parametrize(
    ("scores", "average", "label"),
    [((-0.8, 0.4), -0.5, "negative"), ((0.8, -0.4), 0.5, "positive"), ((0.1, 0.1), 0.1, "neutral")],
)
def test_the_average_sentiment_is_weighted_by_words(
    scores: tuple[float, float], average: float, label: str
) -> None:
    merged = merge(sample("full_diarized"), PARTS, [read_reply(scores[0], 3), read_reply(scores[1], 1)])

    found = merged["results"]["sentiments"]["average"]
    assert found["sentiment_score"] == pytest.approx(average)
    assert found["sentiment"] == label


def test_summaries_are_joined_and_tokens_added_up() -> None:
    replies = [read_reply(0, 3, summary="First."), read_reply(0, 1, summary="Second.")]
    transcription = sample("full_diarized")
    transcription["metadata"].pop("sentiment_info")

    merged = merge(transcription, PARTS, replies)

    assert merged["results"]["summary"] == {"result": "success", "short": "First. Second."}
    assert merged["metadata"]["sentiment_info"] == {"input_tokens": 20, "output_tokens": 2}


def test_what_some_parts_lack_is_named() -> None:
    replies: list[dict[str, Any]] = [read_reply(0, 3, summary="First."), {"results": {}}]

    missing = missing_parts(PARTS, replies)

    assert missing == dict.fromkeys(("summary", "sentiment", "topics", "intents"), "1 of 2 parts")
    assert missing_parts(PARTS, [{"results": {}}, {"results": {}}]) == {}, "then there is no result at all"


def test_the_transcription_itself_is_not_changed() -> None:
    transcription = sample("full_diarized")

    merge(transcription, PARTS, [read_reply(0, 3), read_reply(0, 1)])

    assert transcription == sample("full_diarized")
    assert len(words_of(transcription)) == 53


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"results": 1}', b"<html>", b"[" * 100_000])
def test_a_body_that_is_no_reply_is_doubtful(body: bytes) -> None:
    with pytest.raises(DoubtfulReplyError):
        parse_part(body)


@pytest.mark.parametrize("score", [10**400, float("inf"), float("nan"), 55, True, "0.5", None])
def test_a_score_that_is_none_does_not_count_towards_the_average(score: object) -> None:
    odd, good = read_reply(0.4, 10), read_reply(0.4, 10)
    odd["results"]["sentiments"]["average"]["sentiment_score"] = score
    merged = merge(sample("full_diarized"), [Part("a", 0, 10), Part("b", 10, 10)], [odd, good])

    average = merged["results"]["sentiments"]["average"]
    assert average == {"sentiment": "positive", "sentiment_score": pytest.approx(0.4)}


def test_an_index_before_the_part_is_not_moved_into_the_one_before() -> None:
    reply = read_reply(0.4, 10)
    reply["results"]["sentiments"]["segments"][0] |= {"start_word": -3, "end_word": -1}
    merged = merge(sample("full_diarized"), [Part("a", 30, 10)], [reply])

    segment = merged["results"]["sentiments"]["segments"][0]
    assert (segment["start_word"], segment["end_word"]) == (-3, -1)


def test_a_transcription_may_be_nested_as_deep_as_the_parser_takes_it() -> None:
    transcription = sample("full_diarized")
    transcription["extra"] = json.loads("[" * 900 + "]" * 900)
    before = json.dumps(transcription)

    merged = merge(transcription, [Part("a", 0, 53)], [read_reply(0.4, 53)])
    assert merged["extra"] is transcription["extra"]
    assert json.dumps(transcription) == before


def test_a_transcript_that_no_request_can_hold_is_sent_without_what_breaks_it() -> None:
    transcription = sample("full_diarized")
    transcription["results"]["channels"][0]["alternatives"][0]["transcript"] = "One \ud800two\x00 three."

    assert words_of(transcription) == ["One", "?two", "three."]


@pytest.mark.parametrize("body", [b'{"results": {"x": NaN}}', b'{"results": {"x": -Infinity}}'])
def test_a_reply_to_a_part_is_strict_json(body: bytes) -> None:
    with pytest.raises(DoubtfulReplyError):
        parse_part(body)
