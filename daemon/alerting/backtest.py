"""What the rules would have done with conversations that are stored: `earshot rules test`. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from daemon.alerting.rules import Conversation, evaluated
from daemon.config.models import Alerts, Rule
from daemon.models import Segment, from_iso
from daemon.storage.analyses import StoredAnalysis

EXAMPLES = 20
"""Conversations kept with their quotes: the last ones that came in."""

QUOTES = 3


@dataclass(frozen=True, slots=True)
class Fired:
    """A conversation for which the rule would have fired: when it took place, and what cooldown counts by."""

    at: datetime
    recording_id: int
    group: str


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
    """What one rule did: `unknown` counts the conversations of which it could not know. By rising id."""

    rule: Rule
    fired: list[Fired] = field(default_factory=list)
    unknown: int = 0
    examples: deque[Example] = field(default_factory=lambda: deque(maxlen=EXAMPLES))


def backtest(rules: Sequence[Rule], stored: Iterable[StoredAnalysis]) -> tuple[int, list[Outcome]]:
    """How many conversations there were, and what each rule would have done with them.

    Holds one analysis at a time, and of those for which a rule fires no more than time and id.
    """
    outcomes = [Outcome(rule) for rule in rules]
    count = 0
    for each in stored:
        count += 1
        conversation = conversation_of_stored(each)
        for outcome in outcomes:
            _note(outcome, conversation, each.took_place_at)
    return count, outcomes


def conversation_of_stored(stored: StoredAnalysis) -> Conversation:
    """What the rules need to know of a stored recording."""
    return Conversation(
        recording_id=stored.recording_id,
        name=stored.name,
        path=stored.path,
        folder=stored.folder,
        recorded_at=stored.recorded_at,
        modified_at=stored.modified_at,
        analysis=stored.analysis,
        tags=stored.tags,
        metadata=stored.metadata,
    )


def peak_per_day(fired: Iterable[Fired], zone: tzinfo) -> int:
    """The most that fired on one day of this time zone."""
    days = Counter(each.at.astimezone(zone).date() for each in fired)
    return max(days.values(), default=0)


def held_back(fired: Iterable[Fired], rule: Rule, alerts: Alerts) -> int:
    """How many of these cooldown and burst would not have let out at once, were this the only rule.

    Time is that of the conversations. A cooldown counts from the last alert of the same group; a window of
    the burst begins with the first message after the one before.
    """
    cooldown = alerts.cooldown if rule.cooldown is None else rule.cooldown
    last_of_group: dict[str, datetime] = {}
    window_start, in_window, held = None, 0, 0
    for each in sorted(fired, key=lambda one: (one.at, one.recording_id)):
        last = last_of_group.get(each.group)
        if last is not None and (each.at - last).total_seconds() < cooldown:
            held += 1
            continue
        last_of_group[each.group] = each.at
        if alerts.burst is None:
            continue
        if window_start is None or (each.at - window_start).total_seconds() >= alerts.burst.window:
            window_start, in_window = each.at, 0
        in_window += 1
        held += in_window > alerts.burst.limit
    return held


def _note(outcome: Outcome, conversation: Conversation, took_place_at: str) -> None:
    finding = evaluated(outcome.rule, conversation)
    if finding.truth is None:
        outcome.unknown += 1
    if not finding.truth:
        return
    outcome.fired.append(
        Fired(from_iso(took_place_at), conversation.recording_id, _group(outcome.rule, conversation))
    )
    outcome.examples.append(
        Example(
            conversation.recording_id,
            conversation.name,
            took_place_at,
            finding.reasons,
            finding.segments[:QUOTES],
        )
    )


def _group(rule: Rule, conversation: Conversation) -> str:
    """What the rule's cooldown counts by: the folder, or a field of the metadata."""
    if rule.cooldown_by == "folder":
        return conversation.folder or ""
    return str(conversation.metadata.get(rule.cooldown_by.removeprefix("metadata."), ""))
