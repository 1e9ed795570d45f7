"""What an alert says: matches in, title and body out, within what the channel takes. Pure.

The most important comes first. To fit, the quotes are cut first, then the summary, then the facts; why it
fired stays, and so does the last line, for which the caller leaves room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from itertools import islice
from typing import Any

from jinja2 import Template

from daemon.alerts.template import Metadata, rendered
from daemon.models import SEVERITIES, Analysis, Conversation, Match, Segment, interleave
from daemon.text import (
    NAME_LENGTH,
    harmless,
    harmless_name,
    shorten,
    shorten_front,
    shown_clock,
    shown_meaning,
    shown_score,
    shown_time,
)

TITLE_LIMIT = 100
MAX_REASON = 1000
MAX_REASONS = 10
SHORTER_NAMES = (NAME_LENGTH, 20, 0)
"""Of rules, before a reason is cut: the title names them as well."""

MAX_FACTS = 10
MAX_PATH = 200


@dataclass(frozen=True, slots=True)
class Message:
    """A title, and a body that still lacks its last line."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class Cut:
    """How much of everything is shown."""

    quotes: int
    quote_length: int
    summary_length: int
    facts: bool = True
    link: bool = True


# From everything to the bare reasons; the first that fits is taken.
CUTS = (
    Cut(3, 400, 800),
    Cut(3, 200, 800),
    Cut(3, 120, 800),
    Cut(2, 120, 800),
    Cut(1, 120, 800),
    Cut(1, 120, 500),
    Cut(1, 120, 300),
    Cut(1, 80, 150),
    Cut(1, 80, 150, facts=False),
    Cut(1, 80, 0, facts=False),
    Cut(0, 0, 0, facts=False),
    Cut(0, 0, 0, facts=False, link=False),
)


def compose(
    matches: Sequence[Match],
    conversation: Conversation,
    *,
    link: str | None,
    limit: int,
    title_in_body: bool = False,
    template: Template | None = None,
    zone: tzinfo = UTC,
) -> Message:
    """Compose one message for all rules that fired, its body at most `limit` characters.

    `title_in_body` says that the channel has no titles of its own and counts ours as a part of the body.
    Where a `template` fails, the built-in text is used; where it leaves out why a rule fired, that is added.
    """
    ordered = _quotable(_ordered(matches), conversation)
    title = _title(
        ordered, conversation, limit=min(TITLE_LIMIT, limit // 3) if title_in_body else TITLE_LIMIT
    )
    room = limit - len(title) - len("\r\n") if title_in_body else limit
    summary = _summary(conversation.analysis)
    text = None
    for cut in CUTS:
        if template is not None:
            text = rendered(template, variables(ordered, conversation, title, link=link, cut=cut, zone=zone))
            template = template if text is not None else None
        body = text
        if body is None:
            body = _body(ordered, conversation, summary, link=link, cut=cut, zone=zone)
        if any(line not in body for line in _reason_lines(ordered)):
            body = f"{body}\n\n{_reasons(ordered)}".strip()
        if len(body) <= room:
            return Message(title, body)
    for name_length in SHORTER_NAMES:
        reasons = _reasons(ordered, name_length)
        if len(reasons) <= room:
            start = shorten(text or "", room - len(reasons) - len("\n\n"))
            return Message(title, f"{start}\n\n{reasons}" if start else reasons)
    if title_in_body:
        title = f"[{ordered[0].severity}]"
        room = limit - len(title) - len("\r\n")
    return Message(title, shorten(_reasons(ordered, 0), room))


def variables(
    matches: Sequence[Match],
    conversation: Conversation,
    title: str,
    *,
    link: str | None = None,
    cut: Cut = CUTS[0],
    zone: tzinfo = UTC,
) -> dict[str, Any]:
    """Return what a template may use: everything harmless, and cut as in the built-in message."""
    analysis = conversation.analysis
    recorded, length = conversation.recorded_at, analysis.duration_seconds
    return {
        "title": title,
        "severity": matches[0].severity,
        "rules": [shorten(_one_line(match.rule), NAME_LENGTH) for match in matches],
        "reasons": _reason_lines(matches),
        "quotes": _quotes(matches, cut),
        "summary": shorten(_summary(analysis), cut.summary_length),
        "facts": list(_facts(conversation, zone)) if cut.facts else [],
        "tags": [harmless_name(tag) for tag in conversation.tags[:MAX_FACTS]],
        "metadata": Metadata(
            (harmless_name(key), harmless_name(value)) for key, value in conversation.metadata.items()
        ),
        "link": "" if link is None else _place(conversation, link, matches),
        "path": _place(conversation, None, matches),
        "name": harmless_name(conversation.name),
        "folder": shorten_front(harmless(conversation.folder or ""), MAX_PATH),
        "recording_id": conversation.recording_id,
        "recorded_at": "" if recorded is None else shown_time(recorded, zone),
        "length": "" if length is None else shown_clock(length),
        "sentiment": analysis.average_sentiment or "",
        "score": ""
        if analysis.average_sentiment_score is None
        else shown_score(analysis.average_sentiment_score),
        "seconds": _worst_second(matches),
    }


def _title(matches: Sequence[Match], conversation: Conversation, *, limit: int) -> str:
    """Severity, rules and the recording's name; never a word of the transcript."""
    rules = ", ".join(shorten(_one_line(match.rule), NAME_LENGTH) for match in matches)
    start = f"[{matches[0].severity}] {shorten(rules, limit // 2)} - "
    name = harmless(conversation.name) or f"recording {conversation.recording_id}"
    return shorten(start + shorten(name, max(limit - len(start), 0)), limit)


def _body(
    matches: Sequence[Match],
    conversation: Conversation,
    summary: str,
    *,
    link: str | None,
    cut: Cut,
    zone: tzinfo,
) -> str:
    sections = [
        _reasons(matches),
        "\n".join(_quotes(matches, cut)),
        f"Summary: {shorten(summary, cut.summary_length)}" if summary and cut.summary_length else "",
        "\n".join(_facts(conversation, zone)) if cut.facts else "",
        _place(conversation, link, matches) if cut.link else "",
    ]
    return "\n\n".join(filter(None, sections))


def _reasons(matches: Sequence[Match], name_length: int = NAME_LENGTH) -> str:
    """Why it fired: a line for each rule."""
    return "\n".join(_reason_lines(matches, name_length))


def _reason_lines(matches: Sequence[Match], name_length: int = NAME_LENGTH) -> list[str]:
    lines = []
    for match in matches[:MAX_REASONS]:
        name = f"{shorten(_one_line(match.rule), name_length)}: " if name_length else ""
        lines.append(shorten(name + "; ".join(match.reasons), MAX_REASON))
    if len(matches) > MAX_REASONS:
        more = len(matches) - MAX_REASONS
        lines.append(f"and {more} more rule{'s' if more > 1 else ''}")
    return lines


def _quotes(matches: Sequence[Match], cut: Cut) -> list[str]:
    return [_quote(segment, cut.quote_length) for segment in _passages(matches, cut.quotes)]


def _passages(matches: Sequence[Match], count: int) -> list[Segment]:
    """Choose the most telling passages, if possible one of each rule, and return the worst `count` of them.

    So the moment that `{seconds}` in a link leads to is quoted whenever anything is.
    """
    said = ((segment for segment in match.segments if harmless(segment.text)) for match in matches)
    chosen = list(islice(interleave([tuple(segments) for segments in said]), CUTS[0].quotes))
    return sorted(chosen, key=lambda segment: min(segment.score or 0.0, 0.0))[:count]


def _ordered(matches: Sequence[Match]) -> list[Match]:
    return sorted(matches, key=lambda match: SEVERITIES.index(match.severity))


def _quotable(matches: Sequence[Match], conversation: Conversation) -> Sequence[Match]:
    """Return the matches; where none has a passage to quote, the first gets the worst of the conversation."""
    if any(match.segments for match in matches):
        return matches
    return [replace(matches[0], segments=conversation.analysis.worst_passages()), *matches[1:]]


def moment_seconds(matches: Sequence[Match], conversation: Conversation) -> float | None:
    """Return where the first quote of the message starts, in seconds; None where that is not known."""
    return _first_start(_quotable(_ordered(matches), conversation))


def _first_start(matches: Sequence[Match]) -> float | None:
    starts = (segment.start_seconds for segment in _passages(matches, CUTS[0].quotes))
    return next((start for start in starts if start is not None), None)


def _worst_second(matches: Sequence[Match]) -> int:
    return int(_first_start(matches) or 0.0)


def _quote(segment: Segment, length: int) -> str:
    time = "" if segment.start_seconds is None else f"[{shown_clock(segment.start_seconds)}]"
    speaker = harmless_name(segment.speaker or "")
    meaning = shown_meaning(segment.kind, segment.label, segment.score)
    start = " ".join(filter(None, (time, speaker, f"({meaning})" if meaning else "")))
    text = f'"{shorten(harmless(segment.text), length)}"'
    return f"{start}: {text}" if start else text


def _summary(analysis: Analysis) -> str:
    """Return the summary; empty where it is only the transcript again, which was too short to sum up."""
    summary = _one_line(analysis.summary or "")
    return "" if summary.casefold() == _one_line(analysis.transcript).casefold() else harmless(summary)


def _facts(conversation: Conversation, zone: tzinfo) -> Iterable[str]:
    facts = []
    if conversation.recorded_at is not None:
        facts.append(f"recorded {shown_time(conversation.recorded_at, zone)}")
    if conversation.analysis.duration_seconds is not None:
        facts.append(f"length {shown_clock(conversation.analysis.duration_seconds)}")
    if conversation.folder is not None:
        facts.append(f"folder {shorten_front(harmless(conversation.folder), MAX_PATH)}")
    if facts:
        yield ", ".join(facts)
    pairs = islice(conversation.metadata.items(), MAX_FACTS)
    if known := ", ".join(f"{harmless_name(key)}: {harmless_name(value)}" for key, value in pairs):
        yield known
    if tags := ", ".join(map(harmless_name, conversation.tags[:MAX_FACTS])):
        yield f"tags: {tags}"


def _place(conversation: Conversation, link: str | None, matches: Sequence[Match]) -> str:
    if link is not None:
        seconds = str(_worst_second(matches))
        return link.replace("{id}", str(conversation.recording_id)).replace("{seconds}", seconds)
    path = conversation.path
    if "://" in path:
        # The query of a hosted recording's address is often what allows anyone to fetch it.
        path = path.partition("?")[0]
    return shorten_front(harmless(path), MAX_PATH)


def _one_line(text: str) -> str:
    return " ".join(text.split())
