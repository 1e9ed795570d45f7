"""From rules that fired to alerts for the outbox: one message for each target, however many rules asked."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from daemon.alerting.message import SEVERITIES, compose
from daemon.alerting.rules import Conversation, matches
from daemon.alerting.targets import Target
from daemon.config.models import Alerts
from daemon.models import AlertDraft, AlertState, from_iso
from daemon.storage.outbox import last_line_room


def drafts_for(
    alerts: Alerts, targets: Iterable[Target], conversation: Conversation, now: datetime
) -> list[AlertDraft]:
    """The alerts that a conversation causes, as `add_alerts` takes them; none when no rule fires.

    What is too old, or was to be taken in quietly, gets alerts that are suppressed from the start.
    """
    found = matches(alerts.rules, conversation)
    if not found:
        return []
    reason = _suppression(alerts, conversation, now)
    drafts = []
    for target in targets:
        asking = [match for match in found if target.destination in match.notify]
        if not asking:
            continue
        message = compose(
            asking,
            conversation,
            link=alerts.link,
            limit=target.limit - last_line_room(conversation.recording_id),
            title_in_body=target.title_in_body,
        )
        drafts.append(
            AlertDraft(
                destination=target.destination,
                target=target.index,
                rules=tuple(match.rule for match in asking),
                severity=min((match.severity for match in asking), key=SEVERITIES.index),
                state=AlertState.SUPPRESSED if reason else AlertState.PENDING,
                reason=reason,
                title=message.title,
                body=message.body,
            )
        )
    return drafts


def _suppression(alerts: Alerts, conversation: Conversation, now: datetime) -> str | None:
    if conversation.quiet:
        return "quiet"
    recorded = conversation.recorded_at or conversation.modified_at
    if recorded is None or now - from_iso(recorded) <= timedelta(seconds=alerts.max_age):
        return None
    return "age"
