"""Which rules fire for an analyzed recording, and why. Pure: records in, records out.

Conditions have three values, as in SQL: what was not analyzed is unknown (None), and an unknown condition
fires nothing.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path, PurePath

from daemon.alerting.harmless import harmless, shorten
from daemon.config.models import Rule, When
from daemon.models import Analysis, Recording, Segment, shown_path

REASON_LENGTH = 80
"""Characters of an intent or a pattern in a reason."""

INTENTS_NAMED = 3

_BOUNDS = {
    "negative": "negative at -0.33 and below",
    "neutral": "neutral between -0.33 and 0.33",
    "positive": "positive at 0.33 and above",
}


@dataclass(frozen=True, slots=True)
class Conversation:
    """What rules and messages know of one recording. `path` is as people see it, or the URL; times as stored.

    `quiet` says that it was there before earshot came and was taken in without alerts (`existing: quiet`).
    """

    recording_id: int
    name: str
    path: str
    folder: str | None
    recorded_at: str | None
    modified_at: str | None
    analysis: Analysis
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    quiet: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that fired: why, as lines to read, and the segments worth quoting, the most telling first."""

    rule: str
    severity: str
    notify: tuple[str, ...]
    reasons: tuple[str, ...]
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of a condition; `truth` None is unknown. Only True has reasons and segments."""

    truth: bool | None
    reasons: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()


UNKNOWN = Finding(None)
FALSE = Finding(False)


def conversation_of(recording: Recording, analysis: Analysis) -> Conversation:
    """What the rules need to know of a claimed recording and its analysis."""
    return Conversation(
        recording_id=recording.id,
        name=recording.name,
        path=shown_path(recording.source),
        folder=recording.folder,
        recorded_at=recording.recorded_at,
        modified_at=recording.modified_at,
        analysis=analysis,
        tags=recording.tags,
        metadata=recording.metadata,
        quiet=recording.quiet,
    )


def matches(rules: Iterable[Rule], conversation: Conversation) -> list[Match]:
    """The rules that fire, in the order of the configuration."""
    found = []
    for rule in rules:
        if not _in_folders(rule.folders, conversation):
            continue
        finding = _evaluate(rule.when, conversation.analysis)
        if finding.truth:
            found.append(Match(rule.name, rule.severity, rule.notify, finding.reasons, finding.segments))
    return found


def pattern_matches(pattern: str, text: str) -> bool:
    """True when the whole text fits, whatever its letter case; only `*` and `?` stand for something else."""
    return fnmatch.fnmatchcase(text.casefold(), pattern.casefold().replace("[", "[[]"))


def interleave(groups: Iterable[Sequence[Segment]]) -> Iterator[Segment]:
    """The first of each group, then the second of each, and so on, each passage of the transcript once."""
    seen = set()
    for segment in chain.from_iterable(zip_longest(*groups)):
        if segment is None:
            continue
        passage = (segment.start_word, segment.end_word, segment.text)
        if passage not in seen:
            seen.add(passage)
            yield segment


def _evaluate(when: When, analysis: Analysis) -> Finding:
    findings = []
    if when.average_sentiment is not None:
        findings.append(_average_sentiment(when.average_sentiment, analysis))
    if when.intent is not None or when.intent_confidence is not None:
        findings.append(_intent(when.intent or ("*",), when.intent_confidence, analysis))
    return _all_of(findings)


def _all_of(findings: Sequence[Finding]) -> Finding:
    truths = [finding.truth for finding in findings]
    if False in truths:
        return FALSE
    # No condition at all is no reason for an alert either.
    if None in truths or not truths:
        return UNKNOWN
    return Finding(
        True,
        tuple(reason for finding in findings for reason in finding.reasons),
        tuple(interleave(finding.segments for finding in findings)),
    )


def _average_sentiment(labels: Sequence[str], analysis: Analysis) -> Finding:
    label = analysis.average_sentiment
    if label is None or _is_missing(analysis, "sentiment"):
        return UNKNOWN
    if label not in labels:
        return FALSE
    score = analysis.average_sentiment_score
    value = "average" if score is None else f"average {shown_score(score)}"
    return Finding(True, (f"{value}, {_BOUNDS.get(label, label)}",), _telling(label, analysis.sentiments))


def _telling(label: str, segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """What to quote for an average: the worst passages, or the best ones of a conversation that went well."""
    wanted, sign = ("positive", -1) if label == "positive" else ("negative", 1)
    fitting = [segment for segment in segments if segment.label == wanted]
    return tuple(sorted(fitting, key=lambda segment: sign * (segment.score or 0.0)))


def _intent(patterns: Sequence[str], at_least: float | None, analysis: Analysis) -> Finding:
    """Pattern and confidence must hold for the same segment; a missing confidence counts as 0."""
    if _is_missing(analysis, "intents"):
        return UNKNOWN
    fitting: list[tuple[Segment, str]] = []
    for segment in analysis.intents:
        pattern = next((each for each in patterns if pattern_matches(each, segment.label)), None)
        if pattern is not None and (segment.score or 0.0) >= (at_least or 0.0):
            fitting.append((segment, pattern))
    if not fitting:
        return FALSE
    fitting.sort(key=lambda each: -(each[0].score or 0.0))
    best = {segment.label: (segment, pattern) for segment, pattern in reversed(fitting)}
    named = sorted(best.values(), key=lambda each: -(each[0].score or 0.0))
    reasons = [_intent_reason(segment, pattern, at_least) for segment, pattern in named[:INTENTS_NAMED]]
    if len(named) > INTENTS_NAMED:
        reasons.append(f"and {len(named) - INTENTS_NAMED} more")
    return Finding(True, tuple(reasons), tuple(segment for segment, _ in fitting))


def _intent_reason(segment: Segment, pattern: str, at_least: float | None) -> str:
    score = "" if segment.score is None else f" {shown_score(segment.score)}"
    bound = "" if at_least is None else f", at least {shown_score(at_least)}"
    label = shorten(harmless(segment.label), REASON_LENGTH)
    return f'intent "{label}"{score}, pattern "{shorten(pattern, REASON_LENGTH)}"{bound}'


def shown_score(score: float) -> str:
    """A score with two decimals and an ASCII minus, never `-0.00`."""
    return f"{round(score, 2) + 0.0:.2f}"


def _is_missing(analysis: Analysis, feature: str) -> bool:
    return feature in analysis.not_analyzed or not analysis.transcript.strip()


def _in_folders(folders: Sequence[Path], conversation: Conversation) -> bool:
    """True when the recording, or the watched folder it came from, lies in one of them, or none is named."""
    if not folders:
        return True
    places = [PurePath(place) for place in (conversation.folder, conversation.path) if place]
    return any(place.is_relative_to(folder) for place in places for folder in folders)
