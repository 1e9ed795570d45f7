"""What people thought of alerts, and how often each rule was worth one."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from daemon.errors import UsageError
from daemon.models import iso
from daemon.storage.connection import Database
from daemon.storage.database import rows, tuples, value


class Verdict(StrEnum):
    """A person's judgement of an alert, as stored in `verdicts.verdict`."""

    USEFUL = "useful"
    NOISE = "noise"


@dataclass(frozen=True, slots=True)
class Verdicts:
    """How many alerts of a rule were judged, and how many of those were useful."""

    useful: int = 0
    total: int = 0

    @property
    def precision(self) -> float | None:
        """Return the share of useful ones, 0 to 1; None without verdicts."""
        return self.useful / self.total if self.total else None


def give_verdict(
    db: Database, alert_id: int, verdict: Verdict, now: datetime, *, by: str | None = None
) -> None:
    """Store a judgement of an alert, replacing an earlier one; UsageError without such an alert.

    `by` is who judged, None for the command line.
    """
    if value(db, "SELECT id FROM alerts WHERE id = ?", (alert_id,)) is None:
        raise UsageError(f"there is no alert {alert_id}; `earshot alerts` lists them")
    db.execute(
        "INSERT INTO verdicts (alert_id, verdict, given_at, given_by) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (alert_id) DO UPDATE SET verdict = excluded.verdict, given_at = excluded.given_at,"
        " given_by = excluded.given_by",
        (alert_id, verdict, iso(now), by),
    )


def verdict_of(db: Database, alert_id: int) -> str | None:
    """Return an alert's verdict, or None."""
    found: str | None = value(db, "SELECT verdict FROM verdicts WHERE alert_id = ?", (alert_id,))
    return found


def verdicts_of(db: Database, ids: Collection[int]) -> dict[int, str]:
    """Return the verdicts of those of these alerts that have one."""
    sql = "SELECT alert_id, verdict FROM verdicts WHERE alert_id IN (SELECT value FROM json_each(?))"
    return dict(tuples(db, sql, (json.dumps(list(ids)),)))


def verdicts_by_rule(db: Database) -> dict[str, Verdicts]:
    """Return each rule's verdicts; a verdict on an alert of several rules counts for each of them.

    A recording's alert that went to several addresses is several alerts here: each person has a say.
    """
    found = rows(
        db,
        """
        SELECT fired.value AS rule, sum(verdict = 'useful') AS useful, count(*) AS total
        FROM verdicts JOIN alerts ON alerts.id = alert_id, json_each(alerts.rules) AS fired
        GROUP BY fired.value
        """,
    )
    return {row["rule"]: Verdicts(row["useful"], row["total"]) for row in found}
