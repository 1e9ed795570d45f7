"""The outbox: alerts from the moment a rule fires until they are sent or given up.

Functions that write do so in the transaction of the caller: an alert is stored together with what caused it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any, Literal

from daemon.errors import UsageError
from daemon.models import Alert, AlertDraft, AlertState, Target, from_iso, iso
from daemon.storage.connection import Database
from daemon.storage.database import rows, tuples, value

Table = Literal["alerts", "webhooks"]
"""The tables that are outboxes: messages to people, and to other programs (see webhooks.py)."""

_OF_TABLE = {
    "alerts": "severity, title, NULL AS message_id",
    "webhooks": "'info' AS severity, event AS title, message_id",
}

_RETRIED = {"alerts": ("failed", "suppressed", "pending"), "webhooks": ("failed", "sent", "pending")}
"""What a person can have sent, one that waits at once; another program knows by the message's id what it has
already."""

MUTED = "reanalyzed"
"""Why an alert is suppressed that comes from analyzing a recording again, unless a person wants it sent."""

ORPHANED = "nothing in the configuration has this name any more"
"""Why a message was given up that nobody sends any more."""

MAX_WAIT = timedelta(hours=25)
"""No alert is ever held back longer (quiet hours are shorter than a day); a row that says so was written
before the clock was set back, and is due."""


def last_line(alert_id: int, recording_id: int | None) -> str:
    """Return the last line of a message, by which people recognize one that came twice."""
    recording = "" if recording_id is None else f", recording {recording_id}"
    return f"earshot alert {alert_id}{recording}"


def last_line_room(recording_id: int | None) -> int:
    """Return how many characters a body must leave free for an empty line and the last line."""
    return len("\n\n") + len(last_line(10**10 - 1, recording_id))


def room_for(target: Target, title: str) -> int:
    """Return the most characters at this target for a body about no single recording."""
    return target.limit - last_line_room(None) - (len(title) + len("\r\n") if target.title_in_body else 0)


def add_alerts(db: Database, recording_id: int, drafts: Iterable[AlertDraft], now: datetime) -> list[int]:
    """Store the alerts of a recording and return their ids; each body gets its last line.

    One that is there already, for the same target and rules, is left out, so that nobody is told twice.
    """
    added = (_add(db, recording_id, draft, now) for draft in drafts)
    return [alert_id for alert_id in added if alert_id is not None]


def add_messages(db: Database, drafts: Iterable[AlertDraft], now: datetime) -> list[int]:
    """Store messages about no single recording; returns the ids."""
    added = (_add(db, None, draft, now) for draft in drafts)
    return [alert_id for alert_id in added if alert_id is not None]


def told_rules(db: Database, recording_id: int, destination: str, target: int) -> frozenset[str]:
    """Return the rules for which this recording has an alert for this target, sent or not."""
    found = tuples(
        db,
        "SELECT value FROM alerts, json_each(rules)"
        " WHERE recording_id = ? AND destination = ? AND target = ?",
        (recording_id, destination, target),
    )
    return frozenset(name for (name,) in found)


def drop_muted(
    db: Database, recording_id: int, keep: Collection[tuple[str, int, tuple[str, ...]]] = ()
) -> None:
    """Delete the alerts that an earlier analysis again held back, unless a person judged them.

    Those that would come again as they are, in `keep` as (destination, target, rules), stay.
    """
    found = rows(
        db,
        "SELECT id, destination, target, rules FROM alerts WHERE recording_id = ? AND state = 'suppressed'"
        " AND reason = ? AND id NOT IN (SELECT alert_id FROM verdicts)",
        (recording_id, MUTED),
    )
    for row in found:
        if (row["destination"], row["target"], tuple(json.loads(row["rules"]))) not in keep:
            db.execute("DELETE FROM alerts WHERE id = ?", (row["id"],))


def any_pending(db: Database, ids: Collection[int]) -> bool:
    """Return whether any of these alerts is to be sent, not held back."""
    sql = "SELECT 1 FROM alerts WHERE state = 'pending' AND id IN (SELECT value FROM json_each(?)) LIMIT 1"
    return bool(ids) and bool(rows(db, sql, (json.dumps(list(ids)),)))


def alert_reasons(db: Database, ids: Collection[int]) -> Counter[str]:
    """Count these alerts by the reason why they are held back, the others by their state."""
    found = rows(
        db,
        "SELECT coalesce(reason, state) AS reason FROM alerts WHERE id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(ids)),),
    )
    return Counter(row["reason"] for row in found)


def next_alert(
    db: Database, destination: str, target: int, now: datetime, *, table: Table = "alerts"
) -> Alert | None:
    """Return the alert to send next to this target, or None when none is due.

    Those tried least come first, so that one that is refused does not hold up the others.
    """
    found = rows(
        db,
        f"""
        SELECT id, recording_id, destination, target, attempts, created_at, body, due_at, {_OF_TABLE[table]}
        FROM {table}
        WHERE state = 'pending' AND destination = :destination AND target = :target
            AND (not_before IS NULL OR not_before <= :now OR not_before > :never)
        ORDER BY attempts, id LIMIT 1
        """,  # noqa: S608 - our own names
        {"destination": destination, "target": target, "now": iso(now), "never": iso(now + MAX_WAIT)},
    )
    return Alert(**found[0]) if found else None


def seconds_until_due(
    db: Database, destination: str, target: int, now: datetime, *, table: Table = "alerts"
) -> float | None:
    """Return the seconds until this target's next alert is due, 0 if due now, None if none is pending."""
    if next_alert(db, destination, target, now, table=table):
        return 0.0
    sql = f"SELECT min(not_before) FROM {table} WHERE state = 'pending' AND destination = ? AND target = ?"  # noqa: S608
    due = value(db, sql, (destination, target))
    return None if due is None else max(0.0, (from_iso(due) - now).total_seconds())


def is_worth_waiting(
    db: Database, destination: str, target: int, now: datetime, soon: datetime, *, table: Table = "alerts"
) -> bool:
    """Return whether a message is due at this target now, or `soon` for the first time."""
    sql = (
        f"SELECT 1 FROM {table} WHERE state = 'pending' AND destination = ? AND target = ?"  # noqa: S608 - our own names
        " AND (not_before IS NULL OR not_before <= iif(attempts = 0, ?, ?)) LIMIT 1"
    )
    return value(db, sql, (destination, target, iso(soon), iso(now))) is not None


def alert_sent(db: Database, alert_id: int, now: datetime, *, table: Table = "alerts") -> None:
    """Note that the service accepted the message."""
    db.execute(
        f"UPDATE {table} SET state = 'sent', sent_at = ?, attempts = attempts + 1, not_before = NULL,"  # noqa: S608
        " error = NULL WHERE id = ?",
        (iso(now), alert_id),
    )


def alert_retry(
    db: Database, alert_id: int, error: str, not_before: datetime, *, table: Table = "alerts"
) -> None:
    """Note a failed attempt; the next one is due at `not_before`."""
    db.execute(
        f"UPDATE {table} SET attempts = attempts + 1, error = ?, not_before = ? WHERE id = ?",  # noqa: S608
        (error, iso(not_before), alert_id),
    )


def hold_alert(db: Database, alert_id: int, until: datetime) -> None:
    """Let an alert wait, without counting that as an attempt."""
    db.execute(
        "UPDATE alerts SET not_before = ?, due_at = ? WHERE id = ?", (iso(until), iso(until), alert_id)
    )


def release_held(db: Database, destination: str, target: int, now: datetime) -> int:
    """Make alerts due that wait for the end of quiet hours; returns how many."""
    changed = db.execute(
        "UPDATE alerts SET not_before = :now, due_at = :now WHERE state = 'pending'"
        " AND destination = :destination AND target = :target AND due_at > :now AND not_before = due_at",
        {"destination": destination, "target": target, "now": iso(now)},
    )
    return changed.rowcount


def alert_failed(db: Database, alert_id: int, error: str, *, table: Table = "alerts") -> None:
    """Give an alert up after one more failed attempt."""
    db.execute(
        f"UPDATE {table} SET state = 'failed', attempts = attempts + 1, not_before = NULL, error = ?"  # noqa: S608
        " WHERE id = ?",
        (error, alert_id),
    )


def retry_alert(db: Database, alert_id: int, now: datetime, *, table: Table = "alerts") -> None:
    """Put an alert back in the outbox, due now, with as many retries as a new one.

    Raises UsageError when there is no such alert, or when its state is none of _RETRIED.
    """
    state = value(db, f"SELECT state FROM {table} WHERE id = ?", (alert_id,))  # noqa: S608 - our own names
    if state is None:
        raise UsageError(f"there is no {table[:-1]} {alert_id}; `earshot {table}` lists them")
    if state not in _RETRIED[table]:
        known = ", ".join(_RETRIED[table])
        raise UsageError(f"{table[:-1]} {alert_id} is {state}; only {known} {table} can be retried")
    db.execute(
        f"UPDATE {table} SET state = 'pending', reason = NULL, attempts = 0, not_before = ?, due_at = ?"  # noqa: S608
        " WHERE id = ?",
        (iso(now), iso(now), alert_id),
    )


def orphans(db: Database, known: Collection[tuple[str, int]], before: datetime) -> dict[Table, list[int]]:
    """Return the messages waiting since before then that nobody sends: what they are for is not configured.

    `known` are the destinations with their targets; of webhooks the table `webhook_targets` says it.
    """
    due = "state = 'pending' AND coalesce(due_at, created_at) < ?"
    alerts = rows(db, f"SELECT id, destination, target FROM alerts WHERE {due}", (iso(before),))  # noqa: S608
    webhooks = rows(
        db,
        f"SELECT id FROM webhooks WHERE {due} AND destination NOT IN (SELECT name FROM webhook_targets)",  # noqa: S608
        (iso(before),),
    )
    return {
        "alerts": [row["id"] for row in alerts if (row["destination"], row["target"]) not in known],
        "webhooks": [row["id"] for row in webhooks],
    }


def give_up(db: Database, table: Table, ids: Collection[int], error: str) -> None:
    """Give these messages up without another attempt, as far as they still wait."""
    db.execute(
        f"UPDATE {table} SET state = 'failed', not_before = NULL, error = ?"  # noqa: S608
        " WHERE state = 'pending' AND id IN (SELECT value FROM json_each(?))",
        (error, json.dumps(list(ids))),
    )


def undelivered_alerts(db: Database) -> int:
    """Return how many pending alerts were tried without success, without those that quiet hours hold."""
    return int(value(db, "SELECT count(*) FROM alerts WHERE state = 'pending' AND error IS NOT NULL"))


def alert_counts(db: Database) -> dict[str, int]:
    """Return the number of alerts in each state, 0 included."""
    found = tuples(db, "SELECT state, count(*) FROM alerts GROUP BY state")
    return {state.value: 0 for state in AlertState} | dict(found)


def _add(db: Database, recording_id: int | None, draft: AlertDraft, now: datetime) -> int | None:
    due = None if draft.not_before is None else iso(draft.not_before)
    row: dict[str, Any] = {
        "recording_id": recording_id,
        "destination": draft.destination,
        "target": draft.target,
        "rules": json.dumps(draft.rules, ensure_ascii=False),
        "severity": draft.severity,
        "state": draft.state.value,
        "reason": draft.reason,
        "not_before": due,
        "due_at": due,
        "created_at": iso(now),
        "title": draft.title,
        "body": draft.body,
        "moment_seconds": draft.moment_seconds,
        # The trigger looks for a deleted id in this form: ,17,18,
        "about": f",{','.join(map(str, draft.about))}," if draft.about else None,
    }
    columns, places = ", ".join(row), ", ".join(f":{column}" for column in row)
    alert_id: int | None = value(
        db,
        f"INSERT INTO alerts ({columns}) VALUES ({places})"  # noqa: S608 - the column names above
        " ON CONFLICT (recording_id, destination, target, rules) DO NOTHING RETURNING id",
        row,
    )
    if alert_id is None:
        return None
    # The last line names the id, which is known only now.
    db.execute(
        "UPDATE alerts SET body = body || ? WHERE id = ?",
        (f"\n\n{last_line(alert_id, recording_id)}", alert_id),
    )
    return alert_id
