"""What the lists of the web pages show: a page of rows after a place in an order, and what goes with them.

Every page is found by an index, so that it takes no longer with many recordings than with few. Counts end at
MOST_COUNTED.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

from daemon.storage.connection import Database
from daemon.storage.database import rows, tuples, value
from daemon.storage.days import learn_days
from daemon.storage.filters import MADE_AT, NARROW, Filters, condition, match_expression
from daemon.storage.snippets import snippet

MOST_COUNTED = 1000
MOST_PASSAGES = 1500
"""Of one recording in a list: more make no other drawing."""

MOST_CHOICES = 200
SNIPPET_WORDS = 16
FIRST, LAST = "\x02", "\x03"
"""Around what a search found, in a snippet."""

_BY_WORDS = "recordings_fts.rowid"
_WORST = "(SELECT score FROM worst_scores WHERE recording_id = recordings.id)"

SORTS = {
    "new": (MADE_AT, "DESC"),
    "old": (MADE_AT, "ASC"),
    "worst": ("worst_scores.score", "ASC"),
    "low": ("recordings.average_sentiment_score", "ASC"),
    "long": ("recordings.duration_seconds", "DESC"),
}
"""Newest, oldest, worst passage, lowest average, longest first. What was searched for is newest by its id."""

_LISTED = f"""
    recordings.id, recordings.name, recordings.folder, recordings.state, recordings.metadata,
    {MADE_AT} AS made_at, recordings.duration_seconds, recordings.summary, recordings.average_sentiment_score,
    {_WORST} AS worst_score, recordings.error, recordings.error_code, recordings.not_before,
    recordings.duplicate_of
"""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which recordings, in which of SORTS, and at most `limit`.

    `after` is the last row of the page before: its sort value and its id. `back` reads towards the start from
    there: the page before it.
    """

    filters: Filters
    sort: str = "new"
    words: str | None = None
    after: tuple[Any, int] | None = None
    back: bool = False
    limit: int = 50


def listed(db: Database, wanted: Wanted) -> tuple[list[Row], bool]:
    """Return a page of recordings, and whether there are more behind it; each has `sort_value`."""
    source, values, key, order = _source(db, wanted)
    descending = (order == "DESC") != wanted.back
    place, place_values = "1", tuple[Any, ...]()
    if wanted.after is not None:
        place = f"({key}, recordings.id) {'<' if descending else '>'} (?, ?)"
        place_values = wanted.after
        if key == _BY_WORDS:
            place, place_values = f"{key} {'<' if descending else '>'} ?", (wanted.after[1],)
    direction = "DESC" if descending else "ASC"
    # The index of words gives its rows by their ids, and by nothing else without a sort.
    by = f"{key} {direction}" if key == _BY_WORDS else f"{key} {direction}, recordings.id {direction}"
    found = rows(
        db,
        f"SELECT recordings.id, {key} AS sort_value {source} AND {place}"
        f" AND {key} IS NOT NULL ORDER BY {by} LIMIT ?",
        (*values, *place_values, wanted.limit + 1),
    )
    is_more = len(found) > wanted.limit
    page = found[: wanted.limit][:: -1 if wanted.back else 1]
    details = {row["id"]: row for row in _rows(db, [row["id"] for row in page])}
    return [details[row["id"]] | row for row in page if row["id"] in details], is_more


def counted(db: Database, wanted: Wanted) -> Row:
    """Return `count`, `average` and `seconds` of the wanted recordings, read up to MOST_COUNTED."""
    source, values, _, _ = _source(db, wanted)
    found = rows(
        db,
        f"""
        SELECT count(*) AS count, avg(score) AS average, total(seconds) AS seconds FROM (
            SELECT recordings.average_sentiment_score AS score, recordings.duration_seconds AS seconds
            {source} LIMIT ?
        )
        """,  # noqa: S608 - our own texts
        (*values, MOST_COUNTED + 1),
    )
    return found[0]


def _source(db: Database, wanted: Wanted) -> tuple[str, tuple[Any, ...], str, str]:
    """Return FROM and WHERE with their values, and what the order is by."""
    where, values = condition(db, wanted.filters)
    key, order = SORTS[wanted.sort]
    tables = "recordings"
    if wanted.sort == "worst":
        tables += " JOIN worst_scores ON worst_scores.recording_id = recordings.id"
    if wanted.words is None:
        return f"FROM {tables} WHERE {where}", values, key, order
    if wanted.sort == "new":
        key = _BY_WORDS
    found = f"FROM recordings_fts CROSS JOIN {tables} WHERE recordings.id = recordings_fts.rowid"
    sql = f"{found} AND recordings_fts MATCH ? AND {where}"
    return sql, (match_expression(wanted.words), *values), key, order


def _rows(db: Database, ids: Sequence[int]) -> list[Row]:
    sql = f"SELECT {_LISTED} FROM recordings WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 - ours
    found = rows(db, sql, (json.dumps(list(ids)),))
    return [row | {"metadata": json.loads(row["metadata"])} for row in found]


def passages_of(db: Database, ids: Collection[int], *, text: bool) -> dict[int, list[Row]]:
    """Return the passages of these recordings in order: `sentiment_score`, `start_seconds`, and `text`."""
    columns = "sentiment_score, start_seconds" + (", text" if text else "")
    found = rows(
        db,
        f"SELECT recording_id, {columns} FROM sentiments"  # noqa: S608 - our own names
        " WHERE recording_id IN (SELECT value FROM json_each(?)) AND position < ?"
        " ORDER BY recording_id, position",
        (json.dumps(list(ids)), MOST_PASSAGES),
    )
    passages: dict[int, list[Row]] = {}
    for row in found:
        passages.setdefault(row["recording_id"], []).append(row)
    return passages


def told_of(db: Database, ids: Collection[int]) -> dict[int, list[str]]:
    """Return the rules of which alerts told, not held back, for these recordings."""
    found = tuples(
        db,
        "SELECT recording_id, value FROM alerts, json_each(rules)"
        " WHERE recording_id IN (SELECT value FROM json_each(?)) AND state <> 'suppressed'"
        " ORDER BY alerts.id",
        (json.dumps(list(ids)),),
    )
    told: dict[int, dict[str, None]] = {}
    for number, rule in found:
        told.setdefault(number, {})[rule] = None
    return {number: list(rules) for number, rules in told.items()}


def snippets(db: Database, words: str, ids: Collection[int]) -> dict[int, str]:
    """Return a piece of text around the words for these recordings, with FIRST and LAST around each word."""
    # One by one: of several ids the index would look at everything that has the words.
    found = {number: snippet(db, words, number, (FIRST, LAST), SNIPPET_WORDS) for number in ids}
    return {number: text for number, text in found.items() if text is not None}


def metadata_keys(db: Database, limit: int = 3) -> list[str]:
    """Return the first keys of the metadata by name, each found by one step in the index."""
    found = tuples(
        db,
        "WITH RECURSIVE keys (key) AS ("
        " SELECT min(key) FROM metadata_values UNION ALL"
        " SELECT (SELECT min(key) FROM metadata_values WHERE key > keys.key) FROM keys WHERE key IS NOT NULL"
        ") SELECT key FROM keys WHERE key IS NOT NULL LIMIT ?",
        (limit,),
    )
    return [key for (key,) in found]


def metadata_choices(db: Database, key: str) -> list[str]:
    """Return the values of a key, at most MOST_CHOICES, each found by one step in the index."""
    found = tuples(
        db,
        "WITH RECURSIVE known (value) AS ("
        " SELECT min(value) FROM metadata_values WHERE key = ?1 UNION ALL"
        " SELECT (SELECT min(value) FROM metadata_values WHERE key = ?1 AND value > known.value)"
        " FROM known WHERE value IS NOT NULL"
        ") SELECT value FROM known WHERE value IS NOT NULL LIMIT ?2",
        (key, MOST_CHOICES),
    )
    return [value for (value,) in found]


def alerts_listed(
    db: Database,
    *,
    state: str | None = None,
    unjudged: bool = False,
    rule: str | None = None,
    destination: str | None = None,
    severity: str | None = None,
    since: str | None = None,
    until: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> tuple[list[Row], bool]:
    """Return a page of alerts, the newest first, each with its `verdict` and its recording's facts."""
    found = rows(
        db,
        """
        SELECT alerts.*, verdict, recordings.name, recordings.folder, recordings.metadata
        FROM alerts LEFT JOIN verdicts ON verdicts.alert_id = alerts.id
        LEFT JOIN recordings ON recordings.id = alerts.recording_id
        WHERE (:before IS NULL OR alerts.id < :before) AND (:state IS NULL OR alerts.state = :state)
            AND (NOT :unjudged
                OR (verdict IS NULL AND alerts.state = 'sent' AND alerts.recording_id IS NOT NULL))
            AND (:destination IS NULL OR alerts.destination = :destination)
            AND (:severity IS NULL OR alerts.severity = :severity)
            AND (:since IS NULL OR alerts.created_at >= :since)
            AND (:until IS NULL OR alerts.created_at < :until)
            AND (:rule IS NULL OR EXISTS (SELECT 1 FROM json_each(alerts.rules) WHERE value = :rule))
        ORDER BY alerts.id DESC LIMIT :limit
        """,
        {
            "state": state,
            "unjudged": unjudged,
            "rule": rule,
            "destination": destination,
            "severity": severity,
            "since": since,
            "until": until,
            "before": before,
            "limit": limit + 1,
        },
    )
    page = [
        row | {"rules": json.loads(row["rules"]), "metadata": json.loads(row["metadata"] or "{}")}
        for row in found[:limit]
    ]
    return page, len(found) > limit


def unjudged_alerts(db: Database, last: int = 20) -> tuple[int, int]:
    """Return how many of the last alerts about recordings wait for a verdict, and of how many."""
    ((unjudged, total),) = tuples(
        db,
        "SELECT total(verdict IS NULL), count(*) FROM (SELECT id FROM alerts WHERE state = 'sent'"
        " AND recording_id IS NOT NULL ORDER BY id DESC LIMIT ?) AS told"
        " LEFT JOIN verdicts ON verdicts.alert_id = told.id",
        (last,),
    )
    return int(unjudged), total


def quotes_at(db: Database, moments: Collection[tuple[int, float]]) -> dict[tuple[int, float], Row]:
    """Return the passage that begins at each moment of a recording: text, start_seconds, sentiment_score."""
    found = {}
    for recording_id, second in moments:
        passage = rows(
            db,
            "SELECT text, start_seconds, sentiment_score FROM sentiments WHERE recording_id = ?"
            " AND start_seconds BETWEEN ? - 1 AND ? + 1 ORDER BY abs(start_seconds - ?) LIMIT 1",
            (recording_id, second, second, second),
        )
        if passage:
            found[recording_id, second] = passage[0]
    return found


def told_destinations(db: Database) -> dict[str, Row]:
    """Return for each destination when it last took an alert (`sent_at`), and the last `error` since."""
    found = rows(
        db,
        "SELECT destination, max(sent_at) AS sent_at, total(state = 'pending') AS pending,"
        " total(state = 'failed') AS failed, max(iif(state IN ('failed', 'pending'), error, NULL)) AS error"
        " FROM alerts GROUP BY destination",
    )
    return {row.pop("destination"): row for row in found}


MOOD_GROUPS = {"day": f"local_day({MADE_AT})", "folder": "recordings.folder"}


def moods_by(db: Database, group: str, filters: Filters, zone: tzinfo) -> list[Row]:
    """Return how many analyzed recordings went how, by `day`, `folder` or `metadata.KEY`.

    Days are in order of time, of others the largest comes first. `key` is the group, None without one;
    `count` all of them, `negative`, `neutral` and `positive` those with a score, `average` theirs.
    """
    learn_days(db, zone)
    key, values = MOOD_GROUPS.get(group), tuple[str, ...]()
    if key is None:
        key = "(SELECT value FROM metadata_values WHERE recording_id = recordings.id AND key = ?)"
        values = (group.removeprefix("metadata."),)
    where, more = condition(db, filters)
    order = "key" if group == "day" else "count DESC, key"
    return rows(
        db,
        f"""
        SELECT {key} AS key, count(*) AS count, total(average_sentiment = 'negative') AS negative,
            total(average_sentiment = 'neutral') AS neutral,
            total(average_sentiment = 'positive') AS positive, avg(average_sentiment_score) AS average
        FROM {NARROW} WHERE state = 'done' AND {where} GROUP BY 1 ORDER BY {order} LIMIT ?
        """,  # noqa: S608 - our own texts
        (*values, *more, MOST_COUNTED),
    )


def rules_told(db: Database, since: str | None, until: str | None) -> list[Row]:
    """Return for each rule how many alerts it made in a time, how many were held back, judged and useful."""
    return rows(
        db,
        """
        SELECT fired.value AS rule, total(state <> 'suppressed') AS alerts,
            total(state = 'suppressed') AS held, count(verdict) AS judged, total(verdict = 'useful') AS useful
        FROM alerts JOIN json_each(alerts.rules) AS fired LEFT JOIN verdicts ON verdicts.alert_id = alerts.id
        WHERE (:since IS NULL OR created_at >= :since) AND (:until IS NULL OR created_at < :until)
            AND recording_id IS NOT NULL
        GROUP BY fired.value ORDER BY alerts DESC, rule
        """,
        {"since": since, "until": until},
    )


MOST_PEAKS = 20_000
"""Recordings whose shape is kept, half a kilobyte each; the others' is made anew when they are seen."""


def kept_peaks(db: Database, recording_id: int) -> bytes | None:
    """Return the shape of a recording's sound, empty where it has none; None when it was not made yet."""
    peaks: bytes | None = value(db, "SELECT peaks FROM waveforms WHERE recording_id = ?", (recording_id,))
    return peaks


def keep_peaks(db: Database, recording_id: int, peaks: bytes) -> None:
    """Keep the shape of a recording's sound; the oldest recordings make room."""
    db.execute(
        "INSERT OR REPLACE INTO waveforms (recording_id, peaks) SELECT id, ? FROM recordings WHERE id = ?",
        (peaks, recording_id),
    )
    db.execute(
        "DELETE FROM waveforms WHERE recording_id <= (SELECT recording_id FROM waveforms"
        " ORDER BY recording_id DESC LIMIT 1 OFFSET ?)",
        (MOST_PEAKS,),
    )
