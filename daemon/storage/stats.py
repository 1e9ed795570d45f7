"""What became of the wanted recordings as a whole, and by folder, day, week or a field of the metadata.

A recording counts at the time when it was made, as in rules: by its name, else by the time of its file, else
when it was first seen.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import tzinfo
from typing import Any

from daemon.models import RecordingState
from daemon.storage.connection import Database
from daemon.storage.database import rows, tuples
from daemon.storage.days import learn_days
from daemon.storage.filters import NARROW, Filters, condition

Row = dict[str, Any]

MOST_LABELS = 5
"""Intents and topics of a group."""

_AT = "coalesce(recordings.recorded_at, recordings.modified_at, recordings.first_seen_at)"

GROUPS = {
    "folder": "recordings.folder",
    "day": f"local_day({_AT})",
    "week": f"local_week({_AT})",
}
IN_ORDER_OF_TIME = ("day", "week")


def stats_by(db: Database, group: str | None, filters: Filters, zone: tzinfo) -> list[Row]:
    """Return figures of the wanted recordings by `folder`, `day`, `week` or `metadata.KEY`; None: in one row.

    Days and weeks are those of `zone`, in order of time; of other groups the largest comes first. Without a
    wish for states only what is done counts. `key` is the group's name (None without one). `negative_share`
    is the share of those with a score whose average is negative, `alerts` those that were not held back,
    `precision` the share of judged ones that were useful. `days` has for each day with recordings how many
    there were and their average.
    """
    learn_days(db, zone)
    _choose(db, group, filters)
    found = {row["key"]: row for row in _figures(db, in_order_of_time=group in IN_ORDER_OF_TIME)}
    if group is None and not found:
        found = {None: _nothing()}
    parts = {"intents": _labels(db, "intents", "intent"), "topics": _labels(db, "topics", "topic")}
    alerts, days = _alerts(db), _days(db)
    for key, row in found.items():
        row |= {name: labels[key] for name, labels in parts.items()}
        row |= alerts.get(key, {"alerts": 0, "judged": 0, "useful": 0})
        row["precision"] = row["useful"] / row["judged"] if row["judged"] else None
        row["days"] = days[key]
    db.execute("DROP TABLE temp.wanted")
    return list(found.values())


def totals(db: Database, filters: Filters) -> Row:
    """Return `recordings`, `average` and `negative_share` of what is done, and nothing that takes longer."""
    where, values = condition(db, filters)
    found = rows(
        db,
        f"""
        SELECT count(*) AS recordings, avg(average_sentiment_score) AS average,
            total(average_sentiment = 'negative') / nullif(count(average_sentiment), 0) AS negative_share
        FROM {NARROW} WHERE state = '{RecordingState.DONE}' AND {where}
        """,  # noqa: S608 - our own texts
        values,
    )
    return found[0]


def _choose(db: Database, group: str | None, filters: Filters) -> None:
    """Put the wanted recordings into a temporary table, each with its group and its day.

    It is read once: many columns lie behind the transcript, far away on the disk.
    """
    # Literally, for SQLite to see that the index of what is done will do.
    state = "1" if filters.states else f"recordings.state = '{RecordingState.DONE}'"
    where, values = condition(db, filters)
    key, keys = _key(group)
    db.execute("DROP TABLE IF EXISTS temp.wanted")
    db.execute(
        "CREATE TEMP TABLE wanted"
        " (id INTEGER PRIMARY KEY, key TEXT, day TEXT, seconds REAL, label TEXT, score REAL)"
    )
    db.execute(
        f"""
        INSERT INTO temp.wanted (id, key, day, seconds, label, score)
        SELECT recordings.id, {key}, local_day({_AT}), recordings.duration_seconds,
            recordings.average_sentiment, recordings.average_sentiment_score
        FROM {NARROW} WHERE {state} AND {where}
        """,  # noqa: S608 - our own texts
        (*keys, *values),
    )


def _key(group: str | None) -> tuple[str, tuple[str, ...]]:
    if group is None:
        return "NULL", ()
    if group in GROUPS:
        return GROUPS[group], ()
    sql = "(SELECT value FROM metadata_values WHERE recording_id = recordings.id AND key = ?)"
    return sql, (group.removeprefix("metadata."),)


def _figures(db: Database, *, in_order_of_time: bool) -> list[Row]:
    order = "key" if in_order_of_time else "recordings DESC, key"
    return rows(
        db,
        f"""
        SELECT key, count(*) AS recordings, total(seconds) AS seconds, count(score) AS scored,
            avg(score) AS average, total(label = 'negative') / nullif(count(label), 0) AS negative_share
        FROM temp.wanted GROUP BY key ORDER BY {order}
        """,  # noqa: S608 - our own text
    )


def _nothing() -> Row:
    zero = {"key": None, "recordings": 0, "seconds": 0.0, "scored": 0}
    return zero | {"average": None, "negative_share": None}


def _labels(db: Database, table: str, label: str) -> defaultdict[str | None, list[Row]]:
    """Return each group's MOST_LABELS most frequent labels, whatever their letter case."""
    found = tuples(
        db,
        f"""
        SELECT key, label, count FROM (
            SELECT key, label, count, row_number() OVER (PARTITION BY key ORDER BY count DESC, label) AS place
            FROM (
                SELECT key, min({label}) AS label, count(DISTINCT recording_id) AS count
                FROM {table} JOIN temp.wanted ON wanted.id = recording_id
                WHERE {label} IS NOT NULL GROUP BY key, lower({label})
            )
        ) WHERE place <= ? ORDER BY place
        """,  # noqa: S608 - our own names
        (MOST_LABELS,),
    )
    labels: defaultdict[str | None, list[Row]] = defaultdict(list)
    for key, text, count in found:
        labels[key].append({label: text, "recordings": count})
    return labels


def _alerts(db: Database) -> dict[str | None, Row]:
    found = rows(
        db,
        """
        SELECT key, total(alerts.state <> 'suppressed') AS alerts, count(verdict) AS judged,
            total(verdict = 'useful') AS useful
        FROM alerts JOIN temp.wanted ON wanted.id = alerts.recording_id
        LEFT JOIN verdicts ON verdicts.alert_id = alerts.id GROUP BY key
        """,
    )
    return {row.pop("key"): {name: int(count) for name, count in row.items()} for row in found}


def _days(db: Database) -> defaultdict[str | None, list[Row]]:
    found = rows(
        db,
        "SELECT key, day, count(*) AS recordings, avg(score) AS average"
        " FROM temp.wanted GROUP BY key, day ORDER BY day",
    )
    days: defaultdict[str | None, list[Row]] = defaultdict(list)
    for row in found:
        days[row.pop("key")].append(row)
    return days
