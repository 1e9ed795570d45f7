"""What an alert says: matches in, title and body out, within what the channel takes. Pure.

The most important comes first. To fit, the quotes are cut first, then the summary, then the facts; why it
fired stays, and so does the last line, for which the caller leaves room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from daemon.alerting.harmless import harmless, shorten, shorten_front
from daemon.alerting.rules import Conversation, Match, interleave, shown_score
from daemon.models import Analysis, Segment, from_iso

TITLE_LIMIT = 100
SEVERITIES = ("critical", "warning", "info")
"""The most severe first."""

MAX_REASON = 300
MAX_REASONS = 10
MAX_NAME = 60
"""Characters of a rule's name, a speaker, a metadata key or value."""

MAX_FACTS = 10
MAX_PATH = 200


@dataclass(frozen=True, slots=True)
class Message:
    """A title, and a body that still lacks its last line."""

    title: str
    body: str


@dataclass(frozen=True, slots=True)
class _Cut:
    """How much of everything is shown."""

    quotes: int
    quote_length: int
    summary_length: int
    facts: bool = True
    link: bool = True


# From everything to the bare reasons; the first that fits is taken.
_CUTS = (
    _Cut(3, 400, 800),
    _Cut(3, 200, 800),
    _Cut(3, 120, 800),
    _Cut(2, 120, 800),
    _Cut(1, 120, 800),
    _Cut(1, 120, 500),
    _Cut(1, 120, 300),
    _Cut(1, 80, 150),
    _Cut(1, 80, 150, facts=False),
    _Cut(1, 80, 0, facts=False),
    _Cut(0, 0, 0, facts=False),
    _Cut(0, 0, 0, facts=False, link=False),
)


def compose(
    matches: Sequence[Match],
    conversation: Conversation,
    *,
    link: str | None,
    limit: int,
    title_in_body: bool = False,
) -> Message:
    """One message for all rules that fired, its body at most `limit` characters.

    `title_in_body` says that the channel has no titles of its own and counts ours as a part of the body.
    """
    ordered = sorted(matches, key=lambda match: SEVERITIES.index(match.severity))
    title = _title(
        ordered, conversation, limit=min(TITLE_LIMIT, limit // 3) if title_in_body else TITLE_LIMIT
    )
    room = limit - len(title) - len("\r\n") if title_in_body else limit
    summary = _summary(conversation.analysis)
    for cut in _CUTS:
        body = _body(ordered, conversation, summary, link=link, cut=cut)
        if len(body) <= room:
            return Message(title, body)
    return Message(title, shorten(_reasons(ordered), room))


def sample_message(*, limit: int, title_in_body: bool = False) -> Message:
    """What `earshot test-alert` sends: an alert as it would look, which says that nothing happened."""
    text = "This has been going on for three weeks and nobody calls me back."
    segment = Segment(0, text, 0, 12, 12.0, 16.0, "customer", "negative", -0.61)
    analysis = Analysis(
        request_id=None,
        model=None,
        language=None,
        duration_seconds=94.0,
        channels=1,
        confidence=None,
        transcript=text,
        summary="This is a test message of earshot. No such conversation took place.",
        average_sentiment="negative",
        average_sentiment_score=-0.52,
        sentiments=(segment,),
        topics=(),
        intents=(),
        not_analyzed={},
        estimated_cost_usd=None,
    )
    conversation = Conversation(0, "sample", "", None, None, None, analysis)
    match = Match("test alert", "info", (), ("average -0.52, negative at -0.33 and below",), (segment,))
    return compose([match], conversation, link=None, limit=limit, title_in_body=title_in_body)


def _title(matches: Sequence[Match], conversation: Conversation, *, limit: int) -> str:
    """Severity, rules and the recording's name; never a word of the transcript."""
    rules = ", ".join(shorten(_one_line(match.rule), MAX_NAME) for match in matches)
    start = f"[{matches[0].severity}] {shorten(rules, limit // 2)} - "
    name = harmless(conversation.name) or f"recording {conversation.recording_id}"
    return shorten(start + shorten(name, max(limit - len(start), 0)), limit)


def _body(
    matches: Sequence[Match], conversation: Conversation, summary: str, *, link: str | None, cut: _Cut
) -> str:
    sections = [
        _reasons(matches),
        "\n".join(_quotes(matches, cut)),
        f"Summary: {shorten(summary, cut.summary_length)}" if summary and cut.summary_length else "",
        "\n".join(_facts(conversation)) if cut.facts else "",
        _place(conversation, link) if cut.link else "",
    ]
    return "\n\n".join(filter(None, sections))


def _reasons(matches: Sequence[Match]) -> str:
    """Why it fired: a line for each rule."""
    lines = [
        shorten(f"{shorten(_one_line(match.rule), MAX_NAME)}: {'; '.join(match.reasons)}", MAX_REASON)
        for match in matches[:MAX_REASONS]
    ]
    if len(matches) > MAX_REASONS:
        lines.append(f"and {len(matches) - MAX_REASONS} more rules")
    return "\n".join(lines)


def _quotes(matches: Sequence[Match], cut: _Cut) -> list[str]:
    """The most telling passages, at least one of each rule as far as they go, the worst first."""
    said = ((segment for segment in match.segments if harmless(segment.text)) for match in matches)
    chosen = list(islice(interleave([tuple(segments) for segments in said]), cut.quotes))
    chosen.sort(key=lambda segment: min(segment.score or 0.0, 0.0))
    return [_quote(segment, cut.quote_length) for segment in chosen]


def _quote(segment: Segment, length: int) -> str:
    time = "" if segment.start_seconds is None else f"[{_clock(segment.start_seconds)}]"
    speaker = shorten(harmless(segment.speaker or ""), MAX_NAME)
    score = "" if segment.score is None else f"({shown_score(segment.score)})"
    start = " ".join(filter(None, (time, speaker, score)))
    text = f'"{shorten(harmless(segment.text), length)}"'
    return f"{start}: {text}" if start else text


def _summary(analysis: Analysis) -> str:
    """The summary, or nothing where Deepgram gave the transcript back because it is too short to sum up."""
    summary = _one_line(analysis.summary or "")
    return "" if summary.casefold() == _one_line(analysis.transcript).casefold() else harmless(summary)


def _facts(conversation: Conversation) -> Iterable[str]:
    facts = []
    if conversation.recorded_at is not None:
        facts.append(f"recorded {_moment(conversation.recorded_at)}")
    if conversation.analysis.duration_seconds is not None:
        facts.append(f"length {_clock(conversation.analysis.duration_seconds)}")
    if conversation.folder is not None:
        facts.append(f"folder {shorten_front(harmless(conversation.folder), MAX_PATH)}")
    if facts:
        yield ", ".join(facts)
    pairs = islice(conversation.metadata.items(), MAX_FACTS)
    if known := ", ".join(f"{_name(key)}: {_name(value)}" for key, value in pairs):
        yield known
    if tags := ", ".join(map(_name, conversation.tags[:MAX_FACTS])):
        yield f"tags: {tags}"


def _place(conversation: Conversation, link: str | None) -> str:
    if link is not None:
        return link.replace("{id}", str(conversation.recording_id))
    path = conversation.path
    if "://" in path:
        # The query of a hosted recording's address is often what allows anyone to fetch it.
        path = path.partition("?")[0]
    return shorten_front(harmless(path), MAX_PATH)


def _name(text: str) -> str:
    return shorten(harmless(text), MAX_NAME)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _moment(stored: str) -> str:
    return f"{from_iso(stored):%Y-%m-%d %H:%M} UTC"


def _clock(seconds: float) -> str:
    """`mm:ss`, or `h:mm:ss` from an hour on."""
    minutes, second = divmod(max(int(seconds), 0), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute:02}:{second:02}"
