"""Store a result in one transaction: what the analysis found, the alerts it causes and the messages to
webhooks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlite_utils import Database

from daemon.alerts.draft import wanted_alerts
from daemon.alerts.volume import store_alerts
from daemon.config.models import Alerts
from daemon.models import Analysis, Recording, Target, utc_now
from daemon.rules.match import conversation_of, matches
from daemon.storage.database import transaction
from daemon.storage.outbox import any_pending
from daemon.storage.results import store_result
from daemon.storage.webhooks import note_event


def store(
    db: Database,
    recording: Recording,
    analysis: Analysis,
    *,
    alerts: Alerts,
    targets: Sequence[Target],
    clock: Callable[[], datetime] = utc_now,
) -> int:
    """Store a result and the alerts that it causes; returns how many alerts are new.

    The rules are asked before the transaction begins, because they may take long for a long transcript.
    """
    conversation = conversation_of(recording, analysis)
    fired = matches(alerts.rules, conversation)
    wanted = wanted_alerts(alerts, targets, conversation, fired, clock())
    with transaction(db):
        # Read the clock only inside the transaction: a digest stored while we wait closes its period.
        now = clock()
        store_result(db, recording.id, analysis, now=now)
        added = store_alerts(db, alerts, wanted, recording.id, now)
        note_event(db, recording.id, "done", now)
        if any_pending(db, added):
            note_event(db, recording.id, "alert", now)
        return len(added)
