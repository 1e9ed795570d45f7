"""What volume control must remember: snoozed rules, when a rule last alerted, windows of bursts.

It is all in rows, so a restart changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from daemon.models import from_iso, iso
from daemon.storage.connection import Database
from daemon.storage.database import rows

CLOCK_LEEWAY = timedelta(minutes=1)
"""A row from further in the future was written before the clock was set back, and counts for nothing."""


@dataclass(frozen=True, slots=True)
class BurstWindow:
    """A target's burst window: `passed` messages went out since the alert `after_id`."""

    destination: str
    target: int
    ends_at: str
    window_seconds: float
    after_id: int
    passed: int

    def is_over(self, now: datetime) -> bool:
        """Return whether it has ended, or the clock was set back to before it."""
        left = from_iso(self.ends_at) - now
        return not timedelta(0) < left <= timedelta(seconds=self.window_seconds) + CLOCK_LEEWAY


def snooze(db: Database, rule: str, until: datetime, now: datetime) -> None:
    """Hold this rule's alerts back until then; a time not after `now` ends the snooze."""
    db.execute("DELETE FROM snoozes WHERE rule = ? OR until <= ?", (rule, iso(now)))
    if until > now:
        db.execute("INSERT INTO snoozes (rule, until) VALUES (?, ?)", (rule, iso(until)))


def snoozed_rules(db: Database, now: datetime) -> dict[str, str]:
    """Return the rules that are snoozed now, each with the stored end."""
    found = rows(db, "SELECT rule, until FROM snoozes WHERE until > ? ORDER BY rule", (iso(now),))
    return {row["rule"]: row["until"] for row in found}


def alerted_since(
    db: Database,
    rule: str,
    target: tuple[str, int],
    *,
    since: datetime,
    now: datetime,
    metadata_key: str | None,
    group: str | None,
) -> bool:
    """True if this rule alerted `target` (destination, index) after `since`, not held back.

    Only recordings of the same group count: in the folder `group`, or, with a `metadata_key`, where that
    is `group` (None: missing).
    """
    of_group = "recordings.folder IS :group"
    if metadata_key is not None:
        of_group = "(SELECT value FROM json_each(recordings.metadata) WHERE key = :key) IS :group"
    found = rows(
        db,
        f"""
        SELECT 1 FROM alerts JOIN recordings ON recordings.id = alerts.recording_id
        WHERE alerts.destination = :destination AND alerts.target = :target
            AND alerts.created_at > :since AND alerts.created_at <= :latest
            AND alerts.state <> 'suppressed' AND {of_group}
            AND EXISTS (SELECT 1 FROM json_each(alerts.rules) WHERE json_each.value = :rule)
        LIMIT 1
        """,  # noqa: S608 - one of the two texts above
        {
            "destination": target[0],
            "target": target[1],
            "since": iso(since),
            "latest": iso(now + CLOCK_LEEWAY),
            "group": group,
            "key": metadata_key,
            "rule": rule,
        },
    )
    return bool(found)


def burst_windows(db: Database) -> list[BurstWindow]:
    """Return all windows that are open or not summed up yet."""
    found = rows(
        db,
        "SELECT destination, target, ends_at, window_seconds, after_id, passed FROM bursts ORDER BY ends_at",
    )
    return [BurstWindow(**row) for row in found]


def burst_window(db: Database, destination: str, target: int) -> BurstWindow | None:
    """Return the window, or None."""
    windows = (each for each in burst_windows(db) if (each.destination, each.target) == (destination, target))
    return next(windows, None)


def begin_window(db: Database, destination: str, target: int, seconds: float, now: datetime) -> None:
    """Open a window; store its first message next, in the same transaction."""
    db.execute(
        "INSERT INTO bursts (destination, target, ends_at, window_seconds, after_id, passed)"
        " VALUES (?, ?, ?, ?, (SELECT coalesce(max(id), 0) FROM alerts), 1)",
        (destination, target, iso(now + timedelta(seconds=seconds)), seconds),
    )


def count_message(db: Database, window: BurstWindow) -> None:
    """Note one more message that goes out within the window."""
    db.execute(
        "UPDATE bursts SET passed = passed + 1 WHERE destination = ? AND target = ?",
        (window.destination, window.target),
    )


def end_window(db: Database, window: BurstWindow) -> None:
    """Forget the window."""
    db.execute("DELETE FROM bursts WHERE destination = ? AND target = ?", (window.destination, window.target))


def held_in(db: Database, window: BurstWindow) -> list[dict[str, Any]]:
    """Return the alerts that this window held back, worst average score first."""
    return rows(
        db,
        """
        SELECT alerts.id, alerts.recording_id, alerts.rules, alerts.severity, recordings.name,
            recordings.metadata, recordings.average_sentiment_score AS score
        FROM alerts JOIN recordings ON recordings.id = alerts.recording_id
        WHERE alerts.id > ? AND alerts.destination = ? AND alerts.target = ?
            AND alerts.state = 'suppressed' AND alerts.reason = 'burst'
        ORDER BY score IS NULL, score, alerts.id
        """,
        (window.after_id, window.destination, window.target),
    )
