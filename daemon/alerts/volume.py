"""Decide which of the alerts that rules ask for go out now: cooldown, snooze, bursts, quiet hours.

That is decided in the transaction that stores the alerts, from rows alone. What is held back becomes a row as
well, with the reason: `earshot alerts retry` sends it after all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from daemon.alerts.burst_summary import burst_summary
from daemon.alerts.draft import Wanted, draft_of
from daemon.alerts.quiet_hours import quiet_until
from daemon.config.models import Alerts, Rule
from daemon.models import AlertDraft, AlertState, Conversation, Match, Target
from daemon.storage.connection import Database
from daemon.storage.database import transaction
from daemon.storage.outbox import MUTED, add_alerts, add_messages, drop_muted, told_rules
from daemon.storage.volume import (
    BurstWindow,
    alerted_since,
    begin_window,
    burst_window,
    burst_windows,
    count_message,
    end_window,
    held_in,
    snoozed_rules,
)

logger = logging.getLogger(__name__)


def store_alerts(
    db: Database, alerts: Alerts, wanted: Iterable[Wanted], recording_id: int, now: datetime
) -> list[int]:
    """Store the alerts that a conversation asks for, some of them held back; returns the ids.

    Call inside the transaction that stores the result. A recording that is analyzed again keeps the alerts it
    has, and gets new ones only of rules that it had none of at that target. Those that were held back because
    it was analyzed again make room for what is decided now.
    """
    wanted = list(wanted)
    drop_muted(
        db,
        recording_id,
        keep=[
            (each.target.destination, each.target.index, each.draft.rules)
            for each in wanted
            if each.draft.reason == MUTED
        ],
    )
    added = []
    for every in wanted:
        each = _untold(db, alerts, every, recording_id, now)
        if each is None:
            continue
        draft = _cooled_down(db, alerts, each, now)
        if draft.state is AlertState.PENDING and not _fits_burst(db, alerts, each.target, now):
            draft = _held(draft, "burst")
        added += add_alerts(db, recording_id, [draft], now)
    return added


def close_window(
    db: Database, window: BurstWindow, target: Target | None, link: str | None, now: datetime
) -> bool:
    """Sum up what a window held back, once; True when there is a message. Call inside a transaction.

    A target that the configuration does not have any more gets none.
    """
    held = held_in(db, window) if target else []
    end_window(db, window)
    if target is None or not held:
        return False
    draft = burst_summary(held, window, target, link)
    add_messages(db, [replace(draft, not_before=quiet_until(target.quiet, draft.severity, now))], now)
    logger.info(
        "burst over destination=%s target=%d held_back=%d", target.destination, target.index, len(held)
    )
    return True


def end_bursts(db: Database, alerts: Alerts, targets: Sequence[Target], now: datetime) -> bool:
    """Sum up every window that has ended, in one transaction; True when there is a message."""
    if not any(window.is_over(now) for window in burst_windows(db)):
        return False
    by_name = {(target.destination, target.index): target for target in targets}
    with transaction(db):
        # Read again: a worker may have ended one in the meantime.
        ended = [window for window in burst_windows(db) if window.is_over(now)]
        told = [
            close_window(db, each, by_name.get((each.destination, each.target)), alerts.link, now)
            for each in ended
        ]
    return any(told)


def cooldown_seconds(alerts: Alerts, rule: Rule) -> float:
    """Return the cooldown of a rule in seconds: its own, else the one for all rules."""
    return alerts.cooldown if rule.cooldown is None else rule.cooldown


def cooldown_group(rule: Rule, conversation: Conversation) -> tuple[str | None, str | None]:
    """Return what the cooldown of a rule counts by: (metadata key, None for the folder; its value)."""
    if rule.cooldown_by == "folder":
        return None, conversation.folder
    key = rule.cooldown_by.removeprefix("metadata.")
    return key, conversation.metadata.get(key)


def _untold(db: Database, alerts: Alerts, wanted: Wanted, recording_id: int, now: datetime) -> Wanted | None:
    """Return the message of the rules that the target was not told of; None when there are none."""
    told = told_rules(db, recording_id, wanted.target.destination, wanted.target.index)
    left = tuple(match for match in wanted.matches if match.rule not in told)
    if len(left) == len(wanted.matches):
        return wanted
    if not left:
        return None
    draft = draft_of(
        left, wanted.conversation, wanted.target, link=alerts.link, reason=wanted.draft.reason, now=now
    )
    return replace(wanted, matches=left, draft=draft)


def _cooled_down(db: Database, alerts: Alerts, wanted: Wanted, now: datetime) -> AlertDraft:
    """Return the message of the rules that may speak now; suppressed as a whole when none may."""
    draft = wanted.draft
    if draft.state is not AlertState.PENDING:
        return draft
    snoozed = snoozed_rules(db, now)
    reasons = [
        "snooze" if match.rule in snoozed else _cooldown(db, alerts, match, wanted, now)
        for match in wanted.matches
    ]
    left = [match for match, reason in zip(wanted.matches, reasons, strict=True) if reason is None]
    if not left:
        return _held(draft, "cooldown" if "cooldown" in reasons else "snooze")
    if len(left) == len(wanted.matches):
        return draft
    logger.info(
        "rules left out of an alert recording=%d destination=%s rules=%s",
        wanted.conversation.recording_id,
        wanted.target.destination,
        [match.rule for match in wanted.matches if match not in left],
    )
    return draft_of(left, wanted.conversation, wanted.target, link=alerts.link, reason=None, now=now)


def _cooldown(db: Database, alerts: Alerts, match: Match, wanted: Wanted, now: datetime) -> str | None:
    rule = next(rule for rule in alerts.rules if rule.name == match.rule)
    seconds = cooldown_seconds(alerts, rule)
    if not seconds:
        return None
    key, group = cooldown_group(rule, wanted.conversation)
    spoke = alerted_since(
        db,
        rule.name,
        (wanted.target.destination, wanted.target.index),
        since=now - timedelta(seconds=seconds),
        now=now,
        metadata_key=key,
        group=group,
    )
    return "cooldown" if spoke else None


def _fits_burst(db: Database, alerts: Alerts, target: Target, now: datetime) -> bool:
    """Count one more message to the target; False when its window is full."""
    window = burst_window(db, target.destination, target.index)
    if window and window.is_over(now):
        close_window(db, window, target, alerts.link, now)
        window = None
    if alerts.burst is None:
        return True
    if window is None:
        begin_window(db, target.destination, target.index, alerts.burst.window, now)
        return True
    if window.passed >= alerts.burst.limit:
        return False
    count_message(db, window)
    return True


def _held(draft: AlertDraft, reason: str) -> AlertDraft:
    return replace(draft, state=AlertState.SUPPRESSED, reason=reason, not_before=None)
