"""Cutting a transcript that is too long, and putting together what its parts give."""

from __future__ import annotations

from typing import Any

import pytest

from daemon.analysis.parts import Part, cut, merge, missing_parts, parse_part, words_of
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
