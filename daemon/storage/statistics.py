"""The figures of a digest for a period, and the end of the last digest."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.models import iso
from daemon.storage.connection import Database
from daemon.storage.database import rows, value

MOST = 5
"""Rows of each list."""

Row = dict[str, Any]

_PERIOD = "recordings.state = 'done' AND recordings.analyzed_at >= :since AND recordings.analyzed_at < :until"


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` (UTC) up to but not including `until`."""

    since: datetime
    until: datetime

    def before(self) -> Period:
        """Return the period before it, of the same length."""
        return Period(self.since - (self.until - self.since), self.since)


@dataclass(frozen=True, slots=True)
class Figures:
    """What happened in a period; `totals`: count, seconds, cost, average (None without any)."""

    totals: Row
    folders: list[Row]
    worst: list[Row]
    topics: list[Row]
    intents: list[Row]
    not_analyzed: list[Row]
    failed: list[Row]
    alerts: dict[str, int]


def digest_until(db: Database) -> str | None:
    """Return the end of the last digest's period, or None without one."""
    until: str | None = value(db, "SELECT until FROM digests")
    return until


def set_digest_until(db: Database, until: datetime | None) -> None:
    """Note the end of the last digest's period, None for no digests; call inside a transaction."""
    db.execute("DELETE FROM digests")
    if until is not None:
        db.execute("INSERT INTO digests (id, until) VALUES (1, ?)", (iso(until),))


def figures(db: Database, period: Period) -> Figures:
    """Return all that a digest of this period says."""
    return Figures(
        totals=_totals(db, period),
        folders=folder_averages(db, period),
        worst=_worst(db, period),
        topics=_labels(db, period, "topics", "topic"),
        intents=_labels(db, period, "intents", "intent"),
        not_analyzed=_select(
            db,
            period,
            f"""
            SELECT missing.key AS feature, missing.value AS reason, count(*) AS count
            FROM recordings, json_each(recordings.not_analyzed) AS missing WHERE {_PERIOD}
            GROUP BY missing.key, missing.value ORDER BY count DESC, feature, reason
            """,  # noqa: S608 - our own text
        ),
        failed=_select(
            db,
            period,
            """
            SELECT coalesce(error_code, 'unknown') AS code, count(DISTINCT recording_id) AS count
            FROM failures JOIN recordings ON recordings.id = recording_id
            WHERE failed_at >= :since AND failed_at < :until GROUP BY code ORDER BY count DESC, code
            """,
        ),
        alerts={row["state"]: row["count"] for row in _alerts(db, period)},
    )


def folder_averages(db: Database, period: Period) -> list[Row]:
    """Return each folder's number of recordings and average score, the most recordings first."""
    return _select(
        db,
        period,
        f"""
        SELECT folder, count(*) AS count, avg(average_sentiment_score) AS average
        FROM recordings WHERE {_PERIOD} GROUP BY folder ORDER BY count DESC, folder
        """,  # noqa: S608 - our own text
    )


def _totals(db: Database, period: Period) -> Row:
    found = _select(
        db,
        period,
        f"""
        SELECT count(*) AS count, coalesce(sum(duration_seconds), 0) AS seconds,
            avg(average_sentiment_score) AS average,
            (SELECT sum(usd) FROM costs WHERE at >= :since AND at < :until) AS cost
        FROM recordings WHERE {_PERIOD}
        """,  # noqa: S608 - our own text
    )
    return found[0]


def _worst(db: Database, period: Period) -> list[Row]:
    return _select(
        db,
        period,
        f"""
        SELECT id AS recording_id, name, metadata, average_sentiment_score AS score
        FROM recordings WHERE {_PERIOD} AND average_sentiment_score IS NOT NULL
        ORDER BY score, id LIMIT {MOST}
        """,  # noqa: S608 - our own text
    )


def _labels(db: Database, period: Period, table: str, label: str) -> list[Row]:
    return _select(
        db,
        period,
        f"""
        SELECT {label} AS label, count(DISTINCT recording_id) AS count
        FROM {table} JOIN recordings ON recordings.id = recording_id
        WHERE {_PERIOD} AND {label} IS NOT NULL
        GROUP BY lower({label}) ORDER BY count DESC, label LIMIT {MOST}
        """,  # noqa: S608 - our own names
    )


def _alerts(db: Database, period: Period) -> list[Row]:
    return _select(
        db,
        period,
        """
        SELECT state, count(*) AS count FROM alerts
        WHERE recording_id IS NOT NULL AND created_at >= :since AND created_at < :until GROUP BY state
        """,
    )


def _select(db: Database, period: Period, sql: str) -> list[Row]:
    return rows(db, sql, {"since": iso(period.since), "until": iso(period.until)})
