"""From rules that fired to alerts for the outbox: one message for each target, however many rules asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from daemon.alerts.compose import compose, moment_seconds
from daemon.alerts.quiet_hours import quiet_until
from daemon.config.models import Alerts
from daemon.models import SEVERITIES, AlertDraft, AlertState, Conversation, Match, Target, from_iso
from daemon.storage.outbox import MUTED, last_line_room


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a conversation asks of one target: the rules that name it, and the message of all of them."""

    conversation: Conversation
    target: Target
    matches: tuple[Match, ...]
    draft: AlertDraft


def wanted_alerts(
    alerts: Alerts,
    targets: Iterable[Target],
    conversation: Conversation,
    fired: Sequence[Match],
    now: datetime,
) -> list[Wanted]:
    """Return what the rules that fired ask of each target that they name, before volume control. Pure.

    What is too old, was to be taken in quietly, or is analyzed again without alerts, gets alerts that are
    suppressed from the start.
    """
    reason = _suppression(alerts, conversation, now)
    wanted = []
    for target in targets:
        asking = tuple(match for match in fired if target.destination in match.notify)
        if asking:
            draft = draft_of(asking, conversation, target, link=alerts.link, reason=reason, now=now)
            wanted.append(Wanted(conversation, target, asking, draft))
    return wanted


def draft_of(
    asking: Sequence[Match],
    conversation: Conversation,
    target: Target,
    *,
    link: str | None,
    reason: str | None,
    now: datetime,
) -> AlertDraft:
    """Compose one alert for these rules: suppressed where there is a `reason`, else due after quiet hours."""
    message = compose(
        asking,
        conversation,
        link=link,
        limit=target.limit - last_line_room(conversation.recording_id),
        title_in_body=target.title_in_body,
        template=target.template,
        zone=target.zone,
    )
    severity = min((match.severity for match in asking), key=SEVERITIES.index)
    return AlertDraft(
        destination=target.destination,
        target=target.index,
        rules=tuple(match.rule for match in asking),
        severity=severity,
        state=AlertState.SUPPRESSED if reason else AlertState.PENDING,
        reason=reason,
        title=message.title,
        body=message.body,
        not_before=None if reason else quiet_until(target.quiet, severity, now),
        moment_seconds=moment_seconds(asking, conversation),
    )


def _suppression(alerts: Alerts, conversation: Conversation, now: datetime) -> str | None:
    if conversation.muted:
        return MUTED
    if conversation.quiet:
        return "quiet"
    recorded = conversation.recorded_at or conversation.modified_at
    if recorded is None or now - from_iso(recorded) <= timedelta(seconds=alerts.max_age):
        return None
    return "age"
