"""Reading a reply of /v1/listen: bytes in, an `Analysis` out; or DoubtfulReplyError when it is none.

Whether a body is a reply at all is strict, because a 200 is paid for. Within a reply everything is
tolerated: unknown keys, missing sections, wrong types; what cannot be used is not analyzed, never neutral.
Shapes: https://developers.deepgram.com/reference/speech-to-text/listen-pre-recorded and recorded replies.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from daemon.deepgram.prices import estimated_cost
from daemon.deepgram.request import Request
from daemon.errors import DoubtfulReplyError
from daemon.models import Analysis, Segment

LANGUAGE = "language"
TOO_SHORT = "too short"
NO_SPEECH = "no speech"
LOW_CONFIDENCE = "low confidence"
NOT_REQUESTED = "not requested"
NO_RESULT = "no result"

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
    "too_short": TOO_SHORT,
}
_KNOWN_REASONS = frozenset(_REASON_OF_WARNING.values())


def strict_json(body: bytes) -> Any:
    """What a body says. ValueError where it is no JSON, or NaN, or nested beyond what the parser takes."""
    try:
        return json.loads(body, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


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
    channels = _mapping(reply.get("results")).get("channels")
    if not isinstance(channels, list) or not channels or not all(isinstance(item, dict) for item in channels):
        raise DoubtfulReplyError(
            "the reply has no transcript in it", body=body, request_id=clean_text(reply.get("request_id"))
        )
    if not isinstance(reply.get("metadata"), dict):
        raise DoubtfulReplyError("the reply has no metadata in it", body=body)
    return reply


def read_reply(reply: Mapping[str, Any], request: Request, *, request_id: str | None = None) -> Analysis:
    """What a reply that `parse_body` accepted says, for what `request` asked.

    `request_id` is the response header's, used when the body names none.
    """
    metadata = _mapping(reply.get("metadata"))
    results = _mapping(reply.get("results"))
    channels = _list(results.get("channels"))
    texts = [clean_text(_alternative(channel).get("transcript")) or "" for channel in channels]
    transcript = _joined(texts, request.channels)
    words = _Words(channels, request.channels)
    reasons = _Reasons(
        reply,
        request,
        spoken=any(text.strip() for text in texts),
        words=sum(len(text.split()) for text in texts),
    )
    sentiments = _segments(results, "sentiments", "sentiment", words)
    average = _mapping(_mapping(results.get("sentiments")).get("average"))
    score = valid_score(average.get("sentiment_score"))
    label = clean_text(average.get("sentiment"))
    summary = _summary(results, texts, reasons)
    topics = _segments(results, "topics", "topic", words)
    intents = _segments(results, "intents", "intent", words)
    reasons.note("summary", summary is not None)
    reasons.note("sentiment", bool(label) and score is not None)
    reasons.note("topics", topics is not None)
    reasons.note("intents", intents is not None)
    duration = _positive(metadata.get("duration"))
    channel_count = _whole(metadata.get("channels")) or len(channels)
    analyzed = reasons.not_analyzed
    return Analysis(
        request_id=clean_text(metadata.get("request_id")) or request_id,
        model=request.model,
        language=clean_text(channels[0].get("detected_language")) or request.language,
        duration_seconds=duration,
        channels=channel_count,
        confidence=_confidence(channels),
        transcript=transcript,
        summary=None if "summary" in analyzed else summary,
        average_sentiment=None if "sentiment" in analyzed else label,
        average_sentiment_score=None if "sentiment" in analyzed else score,
        sentiments=tuple(sentiments or ()),
        topics=tuple(topics or ()),
        intents=tuple(intents or ()),
        not_analyzed=analyzed,
        estimated_cost_usd=estimated_cost(
            model=request.model,
            parameters=dict(request.parameters),
            duration_seconds=duration,
            channels=channel_count,
            metadata=metadata,
        ),
    )


class _Words:
    """The words of a one-channel transcript, to turn word indexes into seconds and speakers.

    With several channels there are none: Deepgram does not say which channel's words an index counts.
    """

    def __init__(self, channels: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
        single = len(channels) == 1
        self._words = _list(_alternative(channels[0]).get("words")) if single else []
        self._channel_name = names[0] if single and len(names) == 1 else None

    def span(self, start: int | None, end: int | None) -> tuple[float | None, float | None, str | None]:
        """Start and end in seconds and the speaker of the words `start` to `end`, both inclusive."""
        if start is None or not 0 <= start < len(self._words):
            return None, None, self._channel_name
        last = start if end is None else min(max(start, end), len(self._words) - 1)
        spoken = [_mapping(word) for word in self._words[start : last + 1]]
        return _positive(spoken[0].get("start")), _positive(spoken[-1].get("end")), self._speaker(spoken)

    def _speaker(self, spoken: Sequence[Mapping[str, Any]]) -> str | None:
        if self._channel_name:
            return self._channel_name
        speakers = Counter(_whole(word.get("speaker")) for word in spoken)
        speakers.pop(None, None)
        return f"speaker {speakers.most_common(1)[0][0]}" if speakers else None


class _Reasons:
    """Collects why features have no result; `not_analyzed` maps feature to reason."""

    def __init__(self, reply: Mapping[str, Any], request: Request, *, spoken: bool, words: int) -> None:
        self._request = request
        self._spoken = spoken
        self._words = words
        self._warned = _warned(reply)
        self.not_analyzed: dict[str, str] = {}

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
            # A warning of another kind (a parameter that is deprecated, say) takes no result away.
            self.not_analyzed[feature] = warned
        elif not has_result:
            # `say` was first where the section itself gave the reason.
            self.say(feature, TOO_SHORT if self._words <= FEW_WORDS else NO_RESULT)


def _warned(reply: Mapping[str, Any]) -> dict[str, str]:
    warnings = _list(_mapping(reply.get("metadata")).get("warnings")) + _list(reply.get("warnings"))
    found: dict[str, str] = {}
    for warning in map(_mapping, warnings):
        feature = _FEATURE_OF_PARAMETER.get(clean_text(warning.get("parameter")) or "")
        if feature:
            kind = clean_text(warning.get("type")) or ""
            found[feature] = _REASON_OF_WARNING.get(kind, kind.replace("_", " ") or NO_RESULT)
    return found


def _summary(results: Mapping[str, Any], texts: Sequence[str], reasons: _Reasons) -> str | None:
    section = _mapping(results.get("summary"))
    text = clean_text(section.get("short")) or clean_text(section.get("text"))
    if section.get("result") == "failure":
        # The text then is an excuse, not a summary; English only is the one that is documented.
        reasons.say("summary", LANGUAGE if text and "English" in text else NO_RESULT)
        return None
    whole = " ".join(texts).split()
    if text and len(whole) <= FEW_WORDS and text.split() == whole:
        # Deepgram hands back what is too short to be summarized.
        reasons.say("summary", TOO_SHORT)
        return None
    return text or None


def _segments(results: Mapping[str, Any], section: str, label: str, words: _Words) -> list[Segment] | None:
    """The segments of a section, one per label in it; None when the section is not there at all."""
    found = _mapping(results.get(section))
    # The OpenAPI file nests topics and intents once more; no recorded reply does.
    entries = found.get("segments", _mapping(_mapping(found.get("results")).get(section)).get("segments"))
    if not isinstance(entries, list):
        return None
    segments: list[Segment] = []
    for entry in map(_mapping, entries):
        for value, score in _labels(entry, section, label):
            segments.append(_segment(len(segments), entry, value, score, words))
    return segments


def _labels(entry: Mapping[str, Any], section: str, label: str) -> list[tuple[str, float | None]]:
    if section == "sentiments":
        value = clean_text(entry.get(label))
        return [(value, valid_score(entry.get("sentiment_score")))] if value else []
    inner = [_mapping(item) for item in _list(entry.get(section))]
    named = [(clean_text(item.get(label)), valid_score(item.get("confidence_score"))) for item in inner]
    return [(value, score) for value, score in named if value]


def _segment(
    position: int, entry: Mapping[str, Any], value: str, score: float | None, words: _Words
) -> Segment:
    start, end = _whole(entry.get("start_word")), _whole(entry.get("end_word"))
    start_seconds, end_seconds, speaker = words.span(start, end)
    return Segment(
        position=position,
        text=clean_text(entry.get("text")) or "",
        start_word=start,
        end_word=end,
        start_seconds=start_seconds,
        end_seconds=end_seconds,
        speaker=speaker,
        label=value,
        score=score,
    )


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
    alternatives = _list(channel.get("alternatives"))
    return _mapping(alternatives[0]) if alternatives else {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def clean_text(value: object) -> str | None:
    """A string without what SQLite cannot hold (lone surrogates) or would end it (NUL)."""
    if not isinstance(value, str):
        return None
    return value.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")


def valid_score(value: object) -> float | None:
    """A number from -1 to 1, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) <= 1 else None


def _positive(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 10**9:
        return None
    return float(value)


def _whole(value: object) -> int | None:
    number = _positive(value)
    return int(number) if number is not None else None


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _kind(body: bytes) -> str:
    start = body[:200].lstrip().lower()
    if not start:
        return "it is empty"
    if start.startswith((b"<!doctype", b"<html", b"<")):
        return "it is a web page"
    return "it is cut off" if start.startswith(b"{") else "it is something else"
