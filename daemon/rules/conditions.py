"""The conditions on what a conversation was about, what was said in it, and what is known of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from daemon.config.models import ALL_FEATURES, When
from daemon.config.units import format_duration
from daemon.models import Analysis, Segment, interleave
from daemon.rules.logic import UNKNOWN, Finding, any_of, false, negated, true
from daemon.rules.phrases import Hit, has_phrase, hits
from daemon.text import harmless, pattern_matches, shorten, shown_clock, shown_confidence

REASON_LENGTH = 80
"""Characters of an intent or a pattern in a reason."""

LABELS_NAMED = 3
SNIPPETS = 3

NOT_REQUESTED = "not requested"
"""Why a feature has no result that the configuration does not ask for (`features`)."""


def content_findings(when: When, analysis: Analysis) -> Iterator[Finding]:
    """A finding for each condition of this mapping on what was found in the recording, or was not."""
    if when.intent is not None or when.intent_confidence is not None:
        yield _labels("intent", when.intent or ("*",), when.intent_confidence, analysis)
    if when.topic is not None or when.topic_confidence is not None:
        yield _labels("topic", when.topic or ("*",), when.topic_confidence, analysis)
    if when.phrase is not None:
        yield _phrases(when.phrase, analysis, fold_accents=when.fold_accents)
    if when.without_phrase is not None:
        yield negated(_phrases(when.without_phrase, analysis, fold_accents=when.fold_accents))
    if when.duration_above is not None:
        yield _duration(analysis, "above", when.duration_above)
    if when.duration_below is not None:
        yield _duration(analysis, "below", when.duration_below)
    if when.not_analyzed is not None:
        yield _not_analyzed(when.not_analyzed, analysis)


def place_findings(when: When, tags: Sequence[str], metadata: Mapping[str, str]) -> Iterator[Finding]:
    """A finding for each condition on tags and metadata: these are always known."""
    if when.tag is not None:
        yield any_of([_tag(pattern, tags) for pattern in when.tag])
    for key, patterns in (when.metadata or {}).items():
        yield _metadata(key, patterns, metadata)


def _labels(kind: str, patterns: Sequence[str], at_least: float | None, analysis: Analysis) -> Finding:
    """Pattern and confidence must hold for the same segment; a missing confidence counts as 0."""
    if f"{kind}s" in analysis.not_analyzed or not analysis.transcript.strip():
        return UNKNOWN
    bound = "" if at_least is None else f", at least {shown_confidence(at_least)}"
    fitting: list[tuple[Segment, str]] = []
    for segment in analysis.intents if kind == "intent" else analysis.topics:
        pattern = next((each for each in patterns if pattern_matches(each, segment.label)), None)
        if pattern is not None and (segment.score or 0.0) >= (at_least or 0.0):
            fitting.append((segment, pattern))
    if not fitting:
        return false(f"no {kind} {_named(patterns)}{bound}")
    fitting.sort(key=lambda each: -(each[0].score or 0.0))
    best = {segment.label: (segment, pattern) for segment, pattern in reversed(fitting)}
    named = sorted(best.values(), key=lambda each: -(each[0].score or 0.0))
    reasons = [_label_reason(kind, segment, pattern) + bound for segment, pattern in named[:LABELS_NAMED]]
    if len(named) > LABELS_NAMED:
        reasons.append(f"and {len(named) - LABELS_NAMED} more")
    return Finding(True, tuple(reasons), tuple(segment for segment, _ in fitting))


def _label_reason(kind: str, segment: Segment, pattern: str) -> str:
    score = "" if segment.score is None else f" {shown_confidence(segment.score)}"
    return f"{kind} {_quoted(segment.label)}{score}, pattern {_written(pattern)}"


def _phrases(phrases: Sequence[str], analysis: Analysis, *, fold_accents: bool) -> Finding:
    if not analysis.transcript.strip():
        return UNKNOWN
    return any_of([_phrase(phrase, analysis, fold_accents) for phrase in phrases])


def _phrase(phrase: str, analysis: Analysis, fold_accents: bool) -> Finding:
    texts = _spoken(analysis)
    if not any(has_phrase(phrase, text, fold_accents=fold_accents) for text in texts):
        return false(f"phrase {_written(phrase)} not said")
    groups = (analysis.sentiments, analysis.intents, analysis.topics)
    passages = [
        each for each in interleave(groups) if has_phrase(phrase, each.text, fold_accents=fold_accents)
    ]
    found = (hit for text in texts for hit in hits(phrase, text, fold_accents=fold_accents))
    return true(f"phrase {_written(phrase)} said", passages or _snippets(found))


def _snippets(found: Iterator[Hit]) -> list[Segment]:
    """Return the words around a phrase, for when no passage of the API holds the whole phrase."""
    return [
        Segment(position, hit.snippet, hit.word, None, None, None, None, "phrase", None, "phrase")
        for position, hit in enumerate(islice(found, SNIPPETS))
    ]


def _spoken(analysis: Analysis) -> list[str]:
    """Return what was said, without the names of the channels that begin their lines."""
    lines = analysis.transcript.splitlines()
    if (analysis.channels or 1) < 2 or len(lines) > (analysis.channels or 1):
        return [analysis.transcript]
    return [line.partition(": ")[2] or line for line in lines]


def _duration(analysis: Analysis, side: str, bound: float) -> Finding:
    length = analysis.duration_seconds
    if length is None:
        return UNKNOWN
    holds = length > bound if side == "above" else length < bound
    text = f"{side} {format_duration(bound)}"
    value = f"length {shown_clock(length)}"
    return true(f"{value}, {text}") if holds else false(f"{value}, not {text}")


def _not_analyzed(wanted: Sequence[str], analysis: Analysis) -> Finding:
    """Always known. `true` leaves out features that were never asked for; the name of a feature does not."""
    missing = dict(analysis.not_analyzed)
    if not analysis.transcript.strip():
        missing = {feature: "no speech" for feature in ALL_FEATURES} | missing
    found = {
        feature: reason
        for feature, reason in missing.items()
        if feature in wanted or ("true" in wanted and reason != NOT_REQUESTED)
    }
    if found:
        shown = ", ".join(f"{feature} ({harmless(reason)})" for feature, reason in found.items())
        return true(f"not analyzed: {shown}")
    return false("everything analyzed" if "true" in wanted else f"analyzed: {', '.join(wanted)}")


def _tag(pattern: str, tags: Sequence[str]) -> Finding:
    fitting = [tag for tag in tags if pattern_matches(pattern, tag)]
    return true(f"tag {_quoted(fitting[0])}") if fitting else false(f"no tag {_written(pattern)}")


def _metadata(key: str, patterns: Sequence[str], metadata: Mapping[str, str]) -> Finding:
    name = shorten(harmless(key), REASON_LENGTH)
    if key not in metadata:
        return false(f"no {name}")
    value = str(metadata[key])
    if any(pattern_matches(pattern, value) for pattern in patterns):
        return true(f"{name} {_quoted(value)}")
    return false(f"{name} {_quoted(value)}, not {_named(patterns)}")


def _named(patterns: Sequence[str]) -> str:
    shown = [_written(pattern) for pattern in patterns[:LABELS_NAMED]]
    more = len(patterns) - len(shown)
    return " or ".join(shown) + (f" or {more} more" if more else "")


def _written(text: str) -> str:
    """Quote a pattern of the configuration: it comes from no stranger, and keeps its `*`."""
    return f'"{shorten(" ".join(text.split()), REASON_LENGTH)}"'


def _quoted(text: str) -> str:
    return f'"{shorten(harmless(text), REASON_LENGTH)}"'
