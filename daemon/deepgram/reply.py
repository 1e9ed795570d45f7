"""Reading a reply of /v1/listen: bytes in, an `Analysis` out; DoubtfulReplyError if it is not one.

The check whether a body is a reply is strict, because a 200 is paid for. Within a reply everything is
tolerated: unknown keys, missing sections, wrong types; what is unusable is "not analyzed", never neutral.
Time and memory grow at most in proportion to the reply's size, whatever is in it.
Shapes: https://developers.deepgram.com/reference/speech-to-text/listen-pre-recorded and recorded replies.
"""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.deepgram.prices import cost_of
from daemon.deepgram.request import Request
from daemon.deepgram.values import (
    clean_name,
    clean_text,
    entries_of,
    mapping,
    positive,
    strict_json,
    valid_score,
    whole_number,
)
from daemon.errors import DoubtfulReplyError
from daemon.models import Analysis, Segment

logger = logging.getLogger(__name__)

LANGUAGE = "language"
TOO_SHORT = "too short"
NO_SPEECH = "no speech"
LOW_CONFIDENCE = "low confidence"
NONE_NAMED = "none named"
"""Of intents and topics by the embedded engine, which finds those that are named, when none is."""
NOT_REQUESTED = "not requested"
NO_RESULT = "no result"
TOO_MANY = "too many passages"

MAX_TRANSCRIPT = 5_000_000
"""Characters of all channels together, about 90 hours of speech; the rest is left out."""
MAX_PASSAGES = 50_000
"""Passages of a section, one for each of its labels: a day of speech has some 20,000 sentences."""
TEXT_SHARE = 20
"""A section's texts may be this many times the transcript's length: each label repeats its passage."""
LEAST_TEXT = 100_000
"""Characters that a section's texts may always have, however short the transcript is."""
MAX_SUMMARY = 100_000
"""Characters. A summary has a few hundred; a long transcript's is joined from those of all its parts."""
MAX_SPEAKERS = 50
"""Speakers that are told apart; where there are more, those with the most words."""

FEW_WORDS = 50
"""Deepgram summarizes only what has more words (https://developers.deepgram.com/docs/summarization)."""

_FEATURE_OF_PARAMETER = {
    "summarize": "summary",
    "summary": "summary",
    "sentiment": "sentiment",
    "sentiments": "sentiment",
    "topic": "topics",
    "topics": "topics",
    "intent": "intents",
    "intents": "intents",
}
_REASON_OF_WARNING = {
    "unsupported_language": LANGUAGE,
    "low_confidence": LOW_CONFIDENCE,
    "no_labels": NONE_NAMED,
    "too_short": TOO_SHORT,
}
_KNOWN_REASONS = frozenset(_REASON_OF_WARNING.values())


def parse_body(body: bytes) -> dict[str, Any]:
    """The JSON of a 200 if it is a transcription; DoubtfulReplyError says what it is instead.

    Strict JSON: NaN, cut-off text, and nesting beyond what the parser takes are refused.
    """
    try:
        reply = strict_json(body)
    except ValueError as error:
        raise DoubtfulReplyError(f"the reply is no JSON ({_kind(body)})", body=body) from error
    if not isinstance(reply, dict):
        raise DoubtfulReplyError("the reply is JSON, but no object", body=body)
    channels = mapping(reply.get("results")).get("channels")
    if not isinstance(channels, list) or not channels or not all(isinstance(item, dict) for item in channels):
        raise DoubtfulReplyError(
            "the reply has no transcript in it", body=body, request_id=clean_name(reply.get("request_id"))
        )
    if not isinstance(reply.get("metadata"), dict):
        raise DoubtfulReplyError("the reply has no metadata in it", body=body)
    return reply


def read_reply(reply: Mapping[str, Any], request: Request) -> Analysis:
    """Return the analysis in a reply to `request` that `parse_body` accepted."""
    metadata = mapping(reply.get("metadata"))
    results = mapping(reply.get("results"))
    channels = entries_of(results.get("channels"))
    texts = transcripts(reply)
    transcript = _joined(texts, request.channels)
    words = _Words(channels, request.channels)
    reasons = _Reasons(reply, request, texts)
    sentiments = _segments(results, "sentiment", words, reasons)
    average = mapping(mapping(results.get("sentiments")).get("average"))
    score = valid_score(average.get("sentiment_score"))
    label = clean_name(average.get("sentiment"))
    summary = _summary(results, texts, reasons)
    topics = _segments(results, "topics", words, reasons)
    intents = _segments(results, "intents", words, reasons)
    reasons.note("summary", summary is not None)
    reasons.note("sentiment", bool(label) and score is not None)
    reasons.note("topics", topics is not None)
    reasons.note("intents", intents is not None)
    duration = positive(metadata.get("duration"))
    channel_count = whole_number(metadata.get("channels")) or len(channels)
    cost = cost_of(request.price, request.model, duration, channel_count, metadata)
    analyzed = reasons.not_analyzed
    named = clean_name(metadata.get("request_id"))
    if reasons.cut:
        logger.warning("reply too large, cut request_id=%s cut=%s", named, list(reasons.cut))
    return Analysis(
        request_id=named,
        model=request.model,
        language=clean_name(channels[0].get("detected_language")) or request.language,
        duration_seconds=duration,
        channels=channel_count,
        confidence=_confidence(channels),
        transcript=transcript,
        summary=None if "summary" in analyzed else summary,
        average_sentiment=None if "sentiment" in analyzed else label,
        average_sentiment_score=None if "sentiment" in analyzed else score,
        sentiments=reasons.kept("sentiment", sentiments),
        topics=reasons.kept("topics", topics),
        intents=reasons.kept("intents", intents),
        not_analyzed=analyzed,
        estimated_cost_usd=cost.usd,
        cost=cost,
    )


def transcripts(reply: Mapping[str, Any]) -> list[str]:
    """What was said, by channel, in the order in which the API's word indexes count it."""
    room = MAX_TRANSCRIPT
    texts = []
    for channel in reply["results"]["channels"]:
        texts.append((clean_text(_alternative(channel).get("transcript")) or "")[:room])
        room -= len(texts[-1])
    return texts


class _Words:
    """The words of a one-channel transcript, to turn word indexes into seconds and speakers.

    With several channels there are none: Deepgram does not say which channel's words an index counts.
    """

    def __init__(self, channels: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
        single = len(channels) == 1
        self._words = entries_of(_alternative(channels[0]).get("words")) if single else []
        self._channel_name = names[0] if single and len(names) == 1 else None
        self._spoken_by = _indexes_by_speaker(self._words)

    def span(self, start: int | None, end: int | None) -> tuple[float | None, float | None, str | None]:
        """Start and end in seconds and the speaker of the words `start` to `end`, both inclusive."""
        if start is None or not 0 <= start < len(self._words):
            return None, None, self._channel_name
        last = start if end is None else min(max(start, end), len(self._words) - 1)
        first_word, last_word = mapping(self._words[start]), mapping(self._words[last])
        speaker = self._channel_name or self._speaker(start, last)
        return positive(first_word.get("start")), positive(last_word.get("end")), speaker

    def _speaker(self, start: int, last: int) -> str | None:
        """Return who says most of these words; on a tie, who speaks first."""
        # Counted by index: passages may overlap, and a look at each word of each would take too long.
        most, first, speaker = 0, 0, None
        for number, indexes in self._spoken_by.items():
            begin = bisect_left(indexes, start)
            count = bisect_right(indexes, last, begin) - begin
            if count > most or (count == most > 0 and indexes[begin] < first):
                most, first, speaker = count, indexes[begin], f"speaker {number}"
        return speaker


def _indexes_by_speaker(words: Sequence[Any]) -> dict[int, list[int]]:
    speakers = [whole_number(mapping(word).get("speaker")) for word in words]
    counts = Counter(speaker for speaker in speakers if speaker is not None)
    found: dict[int, list[int]] = {speaker: [] for speaker, _ in counts.most_common(MAX_SPEAKERS)}
    for index, speaker in enumerate(speakers):
        if speaker in found:
            found[speaker].append(index)
    return found


class _Reasons:
    """Collects why features have no result (`not_analyzed`, feature to reason), and what was cut (`cut`).

    `text_room` is how many characters the texts of a section's passages may have together.
    """

    def __init__(self, reply: Mapping[str, Any], request: Request, texts: Sequence[str]) -> None:
        self._request = request
        self._spoken = any(text.strip() for text in texts)
        self._is_short = len(_first_words(texts)) <= FEW_WORDS
        self._warned = _warned(reply)
        self.not_analyzed: dict[str, str] = {}
        self.text_room = max(LEAST_TEXT, TEXT_SHARE * sum(map(len, texts)))
        self.cut = ["transcript"] if sum(map(len, texts)) >= MAX_TRANSCRIPT else []

    def say(self, feature: str, reason: str) -> None:
        """Give a reason that the section itself shows."""
        self.not_analyzed.setdefault(feature, reason)

    def note(self, feature: str, has_result: bool) -> None:
        """Give the reason for a feature that has no result, from what else the reply says."""
        if feature not in self._request.features:
            self.not_analyzed[feature] = NOT_REQUESTED
        elif feature in self._request.unsupported:
            self.not_analyzed[feature] = LANGUAGE
        elif not self._spoken:
            self.not_analyzed[feature] = NO_SPEECH
        elif (warned := self._warned.get(feature)) and not (has_result and warned not in _KNOWN_REASONS):
            # Another warning (about a deprecated parameter, say) does not remove a result.
            self.not_analyzed[feature] = warned
        elif not has_result:
            # A reason that the section itself gave stays.
            self.say(feature, TOO_SHORT if self._is_short else NO_RESULT)

    def kept(self, feature: str, segments: Sequence[Segment] | None) -> tuple[Segment, ...]:
        """Return a section's passages; none of a feature that was not analyzed, or not wanted.

        They stay where only the average is missing, and where there are too many of them.
        """
        is_known = self.not_analyzed.get(feature, NO_RESULT) in (NO_RESULT, TOO_MANY)
        return tuple(segments or ()) if is_known else ()


def _warned(reply: Mapping[str, Any]) -> dict[str, str]:
    warnings = entries_of(mapping(reply.get("metadata")).get("warnings")) + entries_of(reply.get("warnings"))
    found: dict[str, str] = {}
    for warning in map(mapping, warnings):
        feature = _FEATURE_OF_PARAMETER.get(clean_text(warning.get("parameter")) or "")
        if feature:
            kind = clean_name(warning.get("type")) or ""
            found[feature] = _REASON_OF_WARNING.get(kind, kind.replace("_", " ") or NO_RESULT)
    return found


def _summary(results: Mapping[str, Any], texts: Sequence[str], reasons: _Reasons) -> str | None:
    section = mapping(results.get("summary"))
    text = clean_text(section.get("short")) or clean_text(section.get("text"))
    if section.get("result") == "failure":
        # The text then says why there is no summary; only "English only" is documented.
        reasons.say("summary", LANGUAGE if text and "English" in text else NO_RESULT)
        return None
    whole = _first_words(texts)
    if text and len(whole) <= FEW_WORDS and _first_words([text]) == whole:
        # A text that is too short comes back unchanged.
        reasons.say("summary", TOO_SHORT)
        return None
    return text[:MAX_SUMMARY] if text else None


def _segments(
    results: Mapping[str, Any], feature: str, words: _Words, reasons: _Reasons
) -> list[Segment] | None:
    """Return a section's passages, one for each label; None when the section is not there."""
    kind = feature.removesuffix("s")
    section = f"{kind}s"
    found = mapping(results.get(section))
    # The OpenAPI file nests topics and intents one level deeper; no recorded reply does.
    entries = found.get("segments", mapping(mapping(found.get("results")).get(section)).get("segments"))
    if not isinstance(entries, list):
        return None
    segments: list[Segment] = []
    room = reasons.text_room
    for entry in map(mapping, entries):
        labels = _labels(entry, section)
        if len(segments) + len(labels) > MAX_PASSAGES:
            labels = labels[: MAX_PASSAGES - len(segments)]
            reasons.say(feature, TOO_MANY)
        if not labels:
            continue
        # The labels of a passage share one text: many rows, one string in memory.
        text = clean_text(entry.get("text")) or ""
        start, end = whole_number(entry.get("start_word")), whole_number(entry.get("end_word"))
        span = words.span(start, end)
        for value, score in labels:
            room -= len(text)
            kept = text if room >= 0 else ""
            segments.append(Segment(len(segments), kept, start, end, *span, value, score, kind))
    if room < 0:
        reasons.cut.append(f"texts of {section}")
    return segments


def _labels(entry: Mapping[str, Any], section: str) -> list[tuple[str, float | None]]:
    if section == "sentiments":
        value = clean_name(entry.get("sentiment"))
        return [(value, valid_score(entry.get("sentiment_score")))] if value else []
    label = section.removesuffix("s")
    inner = [mapping(item) for item in entries_of(entry.get(section))]
    named = [(clean_name(item.get(label)), valid_score(item.get("confidence_score"))) for item in inner]
    return [(value, score) for value, score in named if value]


def _first_words(texts: Sequence[str]) -> list[str]:
    """Return the first FEW_WORDS words and the rest as one item: enough to tell whether there are few."""
    words: list[str] = []
    for text in texts:
        words += text.split(None, FEW_WORDS)
        if len(words) > FEW_WORDS:
            break
    return words


def _joined(texts: Sequence[str], names: Sequence[str]) -> str:
    if len(texts) == 1:
        return texts[0]
    lines = []
    for index, text in enumerate(texts):
        if text:
            name = names[index] if index < len(names) else f"channel {index}"
            lines.append(f"{name}: {text}")
    return "\n".join(lines)


def _confidence(channels: Sequence[Mapping[str, Any]]) -> float | None:
    scores = [valid_score(_alternative(channel).get("confidence")) for channel in channels]
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None


def _alternative(channel: Mapping[str, Any]) -> Mapping[str, Any]:
    alternatives = entries_of(channel.get("alternatives"))
    return mapping(alternatives[0]) if alternatives else {}


def _kind(body: bytes) -> str:
    start = body[:200].lstrip().lower()
    if not start:
        return "it is empty"
    if start.startswith((b"<!doctype", b"<html", b"<")):
        return "it is a web page"
    return "it is cut off" if start.startswith(b"{") else "it is something else"
