"""What the rules would have done with stored conversations: `earshot rules test`."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from daemon.alerts.draft import Wanted
from daemon.alerts.volume import cooldown_group, cooldown_seconds, store_alerts
from daemon.config.models import SENTIMENT_CONDITIONS, Alerts, Rule, When, every_when
from daemon.models import (
    AlertDraft,
    AlertState,
    Analysis,
    Conversation,
    Match,
    NewRecording,
    Segment,
    Target,
    from_iso,
)
from daemon.rules.match import evaluated
from daemon.storage.database import memory_database, transaction
from daemon.storage.outbox import alert_counts
from daemon.storage.queue import add

EXAMPLES = 20
"""Conversations kept with their quotes: the last ones that came in."""

QUOTES = 3

_OF_THE_WHOLE = ("average_sentiment", "average_score_below", "average_score_above")
"""Without a speaker these need no passages, which are many."""

_TARGET = Target("anyone", 0, "", limit=0, title_in_body=False)


@dataclass(frozen=True, slots=True)
class Fired:
    """A conversation for which the rule would have fired: its time, and its group for cooldown.

    `group` is the key in the metadata (None for the folder) and the conversation's value.
    """

    at: datetime
    recording_id: int
    group: tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Example:
    """One of the conversations, with why the rule fires and what is worth quoting."""

    recording_id: int
    name: str
    at: str
    reasons: tuple[str, ...]
    segments: tuple[Segment, ...]


@dataclass(slots=True)
class Outcome:
    """What one rule did, by rising id; `unknown` counts conversations it could not judge."""

    rule: Rule
    fired: list[Fired] = field(default_factory=list)
    unknown: int = 0
    examples: deque[Example] = field(default_factory=lambda: deque(maxlen=EXAMPLES))


def needed_tables(rules: Iterable[Rule], *, quoted: bool) -> set[str]:
    """Return the tables of segments by which these rules decide, and with `quoted` those that they quote."""
    needed = {"sentiments"} if quoted else set()
    conditions = [each for rule in rules for each in every_when(rule.when)]
    # It may be said in a mapping around that of the condition.
    has_speaker = any(when.speaker is not None for when in conditions)
    for when in conditions:
        if quoted and (when.phrase is not None or when.without_phrase is not None):
            return {"sentiments", "intents", "topics"}
        if when.is_on_sentiment and (has_speaker or _looks_at_passages(when)):
            needed.add("sentiments")
        if when.intent is not None or when.intent_confidence is not None:
            needed.add("intents")
        if when.topic is not None or when.topic_confidence is not None:
            needed.add("topics")
    return needed


def _looks_at_passages(when: When) -> bool:
    others = (name for name in SENTIMENT_CONDITIONS if name not in _OF_THE_WHOLE)
    return any(getattr(when, name) is not None for name in others)


def backtest(rules: Sequence[Rule], stored: Iterable[tuple[str, Conversation]]) -> tuple[int, list[Outcome]]:
    """Return the number of conversations, and what each rule would have done.

    Holds one analysis at a time, and little more than time and id of those that fire.
    """
    outcomes = [Outcome(rule) for rule in rules]
    count = 0
    for took_place_at, conversation in stored:
        count += 1
        for outcome in outcomes:
            _note(outcome, conversation, took_place_at)
    return count, outcomes


def peak_per_day(fired: Iterable[Fired], zone: tzinfo) -> int:
    """Return the most that fired on one day of `zone`."""
    days = Counter(each.at.astimezone(zone).date() for each in fired)
    return max(days.values(), default=0)


def held_back(fired: Iterable[Fired], rule: Rule, alerts: Alerts) -> int:
    """Return how many of these would be held back by cooldown and burst, with this rule alone.

    Volume control itself decides, in a database in memory, at the time of each conversation.
    """
    if not cooldown_seconds(alerts, rule) and alerts.burst is None:
        return 0
    alone = alerts.model_copy(update={"rules": (rule,)})
    with closing(memory_database()) as db, transaction(db):
        for each in sorted(fired, key=lambda one: (one.at, one.recording_id)):
            wanted = _wanted(rule, each)
            said = wanted.conversation
            new = NewRecording(source="", is_url=False, folder=said.folder, metadata=dict(said.metadata))
            store_alerts(db, alone, [wanted], add(db, new, each.at), each.at)
        return alert_counts(db)[AlertState.SUPPRESSED]


def _wanted(rule: Rule, fired: Fired) -> Wanted:
    """The alert as far as volume control looks at it."""
    key, value = fired.group
    conversation = Conversation(
        recording_id=fired.recording_id,
        name="",
        path="",
        folder=value if key is None else None,
        analysis=Analysis(),
        metadata={} if key is None or value is None else {key: value},
    )
    draft = AlertDraft(_TARGET.destination, _TARGET.index, rule.severity, "", "", rules=(rule.name,))
    return Wanted(conversation, _TARGET, (Match(rule.name, rule.severity, (), (), ()),), draft)


def _note(outcome: Outcome, conversation: Conversation, took_place_at: str) -> None:
    finding = evaluated(outcome.rule, conversation)
    if finding.truth is None:
        outcome.unknown += 1
    if not finding.truth:
        return
    outcome.fired.append(
        Fired(from_iso(took_place_at), conversation.recording_id, cooldown_group(outcome.rule, conversation))
    )
    outcome.examples.append(
        Example(
            conversation.recording_id,
            conversation.name,
            took_place_at,
            finding.reasons,
            (finding.segments or conversation.analysis.worst_passages())[:QUOTES],
        )
    )
