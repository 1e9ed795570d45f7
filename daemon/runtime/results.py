"""Store a result in one transaction: what the analysis found, the alerts it causes and the messages to
webhooks. The same for what is found when a stored recording is looked at again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from daemon.alerts.draft import Wanted, wanted_alerts
from daemon.alerts.volume import store_alerts
from daemon.config.models import Alerts
from daemon.models import Analysis, Conversation, Recording, Target, utc_now
from daemon.rules.match import conversation_of, matches
from daemon.storage.connection import Database
from daemon.storage.database import in_transaction, transaction
from daemon.storage.outbox import any_pending
from daemon.storage.readings import finish_again, has_words
from daemon.storage.results import is_done, replace_intelligence, store_result
from daemon.storage.webhooks import note_event


def store(
    db: Database,
    recording: Recording,
    analysis: Analysis,
    first: Callable[[datetime], None] = lambda _: None,
    *,
    alerts: Alerts,
    targets: Sequence[Target],
    clock: Callable[[], datetime] = utc_now,
) -> int:
    """Store a result and the alerts that it causes; returns how many alerts are new.

    What `first` writes, such as the reply that the result is from, is in the same transaction.
    The rules are asked before the transaction begins, because they may take long for a long transcript.
    """
    rules = Rules(alerts, targets)
    wanted = rules.wanted(conversation_of(recording, analysis), clock())

    def write() -> int:
        # Read the clock only inside the transaction: a digest stored while we wait closes its period.
        now = clock()
        first(now)
        was_analyzed = store_result(db, recording.id, analysis, now=now)
        note_event(db, recording.id, "done", now)
        if not wanted and not was_analyzed:
            return 0
        return len(_store_alerts(db, rules, wanted, recording.id, now))

    return in_transaction(db, write)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a configuration, and whom they tell."""

    alerts: Alerts
    targets: Sequence[Target]

    def wanted(self, conversation: Conversation, now: datetime) -> list[Wanted]:
        """Return the alerts that a conversation asks for, before volume control."""
        fired = matches(self.alerts.rules, conversation)
        return wanted_alerts(self.alerts, self.targets, conversation, fired, now)


def apply_rules(
    db: Database, rules: Rules, conversation: Conversation, *, clock: Callable[[], datetime] = utc_now
) -> list[int] | None:
    """Store the alerts that a stored result causes now; returns their ids, None if it is gone meanwhile."""
    wanted = rules.wanted(conversation, clock())
    with transaction(db):
        if not is_done(db, conversation.recording_id):
            return None
        return _store_alerts(db, rules, wanted, conversation.recording_id, clock())


def store_again(
    db: Database, rules: Rules, conversation: Conversation, *, clock: Callable[[], datetime] = utc_now
) -> list[int] | None:
    """Store what was found in a stored transcript, in place of what was found before, and the alerts.

    Returns the ids of the alerts; None, and nothing is stored, if the recording or its words are gone.
    """
    wanted = rules.wanted(conversation, clock())
    recording_id = conversation.recording_id
    with transaction(db):
        if not has_words(db, recording_id):
            return None
        now = clock()
        replace_intelligence(db, recording_id, conversation.analysis)
        finish_again(db, recording_id)
        note_event(db, recording_id, "done", now)
        return _store_alerts(db, rules, wanted, recording_id, now)


def _store_alerts(
    db: Database, rules: Rules, wanted: Iterable[Wanted], recording_id: int, now: datetime
) -> list[int]:
    added = store_alerts(db, rules.alerts, wanted, recording_id, now)
    if any_pending(db, added):
        note_event(db, recording_id, "alert", now)
    return added
