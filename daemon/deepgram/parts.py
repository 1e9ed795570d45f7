"""Transcripts over the API's token limit: cut at sentence ends, analyzed part by part, put together again.

Deepgram analyzes at most 150,000 tokens in one request and refuses more with TOKEN_LIMIT_EXCEEDED
(https://developers.deepgram.com/docs/text-intelligence). Pure: texts and replies in, a reply out.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.deepgram.reply import transcripts
from daemon.deepgram.values import entries_of, mapping, strict_json, valid_score
from daemon.errors import DoubtfulReplyError
from daemon.models import sentiment_of

FIRST_PART_WORDS = 60_000
"""Words of a part at first: some 80,000 tokens of English. Halved when the API still finds that too long."""
LEAST_PART_WORDS = 20
_SENTENCE_ENDS = (".", "?", "!", "…")


@dataclass(frozen=True, slots=True)
class Part:
    """A run of whole sentences; `first_word` is the index of its first word in the whole transcript."""

    text: str
    first_word: int
    words: int


def words_of(reply: Mapping[str, Any]) -> list[str]:
    """The words of a transcription, in the order in which the API's word indexes count them."""
    return " ".join(transcripts(reply)).split()


def cut(words: Sequence[str], most: int) -> list[Part]:
    """Cut words into parts of at most `most`, at sentence ends; inside a sentence only if it is longer."""
    parts = []
    first = 0
    while first < len(words):
        end = min(first + most, len(words))
        if end < len(words):
            ends = (index for index in range(end, first, -1) if words[index - 1].endswith(_SENTENCE_ENDS))
            end = next(ends, end)
        parts.append(Part(" ".join(words[first:end]), first, end - first))
        first = end
    return parts


def parse_part(body: bytes) -> dict[str, Any]:
    """Return the JSON of a /v1/read reply; DoubtfulReplyError if not one."""
    try:
        reply = strict_json(body)
    except ValueError as error:
        raise DoubtfulReplyError("the reply to a part of the transcript is no JSON", body=body) from error
    if not isinstance(reply, dict) or not isinstance(reply.get("results"), dict):
        raise DoubtfulReplyError("the reply to a part of the transcript has no results in it", body=body)
    return reply


def merge(
    transcription: Mapping[str, Any], parts: Sequence[Part], replies: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """One reply in the shape of /v1/listen: the transcription with what was found in its parts.

    Word indexes count in the whole transcript; the average sentiment is weighted by words; summaries are
    joined. `replies` are in the order of `parts`.
    """
    # Only the levels that change are copied: a reply may be nested too deep for a full copy.
    results = dict(transcription["results"])
    metadata = dict(transcription["metadata"])
    answers = list(zip(parts, replies, strict=False))
    for section in ("sentiments", "topics", "intents"):
        found = [(part, _section(reply, section)) for part, reply in answers]
        segments = [_moved(segment, part) for part, content in found for segment in _segments(content)]
        if any("segments" in content for _, content in found):
            results[section] = {"segments": segments}
    average = _average([(part, _section(reply, "sentiments")) for part, reply in answers])
    if average and "sentiments" in results:
        results["sentiments"]["average"] = average
    summaries = [text for _, reply in answers if (text := _summary(reply))]
    if summaries:
        results["summary"] = {"result": "success", "short": " ".join(summaries)}
    _count_tokens(metadata, replies)
    return {**transcription, "metadata": metadata, "results": results}


def missing_parts(parts: Sequence[Part], replies: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Say, for each feature with a result in only some parts, in how many parts it is missing."""
    has = {
        "summary": [bool(_summary(reply)) for reply in replies],
        "sentiment": [bool(_section(reply, "sentiments").get("average")) for reply in replies],
        "topics": ["segments" in _section(reply, "topics") for reply in replies],
        "intents": ["segments" in _section(reply, "intents") for reply in replies],
    }
    return {
        feature: f"{len(parts) - sum(found)} of {len(parts)} parts"
        for feature, found in has.items()
        if 0 < sum(found) < len(parts)
    }


def _average(found: Sequence[tuple[Part, Mapping[str, Any]]]) -> dict[str, Any] | None:
    scores = [
        (part.words, score)
        for part, content in found
        if (score := valid_score(mapping(content.get("average")).get("sentiment_score"))) is not None
    ]
    words = sum(count for count, _ in scores)
    if not words:
        return None
    score = sum(count * value for count, value in scores) / words
    return {"sentiment": sentiment_of(score), "sentiment_score": score}


def _moved(segment: Mapping[str, Any], part: Part) -> dict[str, Any]:
    moved = dict(segment)
    for edge in ("start_word", "end_word"):
        index = moved.get(edge)
        if isinstance(index, int | float) and index >= 0:
            moved[edge] = index + part.first_word
    return moved


def _section(reply: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return mapping(reply["results"].get(name))


def _segments(section: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [segment for segment in entries_of(section.get("segments")) if isinstance(segment, dict)]


def _summary(reply: Mapping[str, Any]) -> str | None:
    # `text` here, `short` in /v1/listen.
    section = _section(reply, "summary")
    text = section.get("text") or section.get("short")
    return text if isinstance(text, str) else None


def _count_tokens(metadata: dict[str, Any], replies: Sequence[Mapping[str, Any]]) -> None:
    """Add up the tokens of all parts: the analysis is billed by them."""
    sections = ("summary_info", "sentiment_info", "topics_info", "intents_info")
    for section, count in itertools.product(sections, ("input_tokens", "output_tokens")):
        counts = [_tokens(reply, section, count) for reply in replies]
        if any(counts):
            metadata[section] = {**mapping(metadata.get(section)), count: sum(counts)}


def _tokens(reply: Mapping[str, Any], section: str, count: str) -> int:
    value = mapping(mapping(reply.get("metadata")).get(section)).get(count)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
