"""Which recordings a person means: one record for all commands, and the SQL that finds them."""

from __future__ import annotations

import json
import re
from array import array
from dataclasses import dataclass
from typing import Any

from daemon.storage.connection import Database
from daemon.storage.database import tuples
from daemon.text import pattern_matches, spaced_out

_RECORDED_AT = "coalesce(recordings.recorded_at, recordings.modified_at)"
MADE_AT = "coalesce(recordings.recorded_at, recordings.modified_at, recordings.first_seen_at)"
"""When a recording was made, as far as known; there is an index by it."""

NARROW = "recordings INDEXED BY recordings_facts"
"""Recordings without their texts, by id, for what many of them may have to be looked at: all columns of
`condition` and ORDERS. By itself SQLite reads through the texts, behind which some of the columns are."""

ORDERS = {
    "received": "recordings.id DESC",
    "recorded": f"{_RECORDED_AT} DESC, recordings.id DESC",
    "length": "recordings.duration_seconds DESC, recordings.id DESC",
    "sentiment": "recordings.average_sentiment_score, recordings.id DESC",
    "cost": "recordings.estimated_cost_usd DESC, recordings.id DESC",
    "name": "recordings.name, recordings.id DESC",
}
"""What recordings can be ordered by: the newest, longest, worst, dearest first; names from A."""

_MAY_BE_UNKNOWN = {
    "length": "recordings.duration_seconds",
    "sentiment": "recordings.average_sentiment_score",
    "cost": "recordings.estimated_cost_usd",
}
"""Recordings without this value come after all others, the newest first: they need not be sorted for that."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which recordings are wanted; a field that is empty, None or False does not restrict.

    One value of a tuple is enough, except in `where`: all its pairs of metadata key and pattern must match.
    Patterns match whole values in any letter case, with `*` and `?` as in rules. `folder` includes what is
    below it. Times are as `iso` writes them, from `since` up to but without `until`: when earshot first
    saw it, and when it was recorded (by its name, else the time of its file). `text` is words as in
    `search`. `alerted` wants an alert that was not suppressed, `not_analyzed` a feature without a result,
    `worst_below` a passage with this score or a lower one, `rule` an alert of this rule, suppressed or not.
    """

    ids: tuple[int, ...] = ()
    states: tuple[str, ...] = ()
    folder: str | None = None
    since: str | None = None
    until: str | None = None
    recorded_since: str | None = None
    recorded_until: str | None = None
    sentiments: tuple[str, ...] = ()
    intents: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    text: str | None = None
    where: tuple[tuple[str, str], ...] = ()
    alerted: bool = False
    not_analyzed: bool = False
    made_since: str | None = None
    made_until: str | None = None
    worst_below: float | None = None
    no_sentiment: bool = False
    rule: str | None = None


def condition(db: Database, filters: Filters) -> tuple[str, tuple[Any, ...]]:
    """Return the filters as an SQL expression over `recordings`, with the values of its `?`.

    Whatever is not in NARROW is looked for in other tables, which then say the ids.
    """
    parts = [*_of_columns(filters), *_of_labels(db, filters), *_of_other_tables(db, filters)]
    return " AND ".join(["1", *(sql for sql, _ in parts)]), tuple(
        value for _, values in parts for value in values
    )


def matching_ids(
    db: Database, filters: Filters, *, order: str = "received", limit: int | None = None
) -> array[int]:
    """Return the ids of the wanted recordings, in one of ORDERS, at most `limit`.

    Ids alone always fit into memory. So the caller needs no long SELECT, which would keep SQLite from
    shortening its write-ahead log.
    """
    where, values = condition(db, filters)
    key = _MAY_BE_UNKNOWN.get(order)
    if key is None:
        return _ids(db, where, values, order, limit)
    found = _ids(db, f"{where} AND {key} IS NOT NULL", values, order, limit)
    left = None if limit is None else limit - len(found)
    if left == 0:
        return found
    return found + _ids(db, f"{where} AND {key} IS NULL", values, "received", left)


def _ids(db: Database, where: str, values: tuple[Any, ...], order: str, limit: int | None) -> array[int]:
    found = tuples(
        db,
        f"SELECT id FROM {NARROW} WHERE {where} ORDER BY {ORDERS[order]} LIMIT ?",  # noqa: S608 - our own text
        (*values, -1 if limit is None else limit),
    )
    return array("q", (row[0] for row in found))


def match_expression(words: str) -> str:
    """Return what a person typed as an FTS5 expression in which every word is quoted.

    In scripts without blanks the characters of a word become a phrase.
    """
    clean = words.encode("utf-8", "replace").decode().replace("\0", " ")
    quoted = (
        ((phrase if phrase else word.replace('"', " ")), star)
        for phrase, word, star in re.findall(r'(?:"([^"]*)"|([^\s*]+))(\**)', clean)
    )
    # Nothing fits a mark without a letter or figure, which is no word of the index.
    said = ((text, star) for text, star in quoted if any(map(str.isalnum, text)))
    return " AND ".join(_any_spelling(text, star) for text, star in said) or '""'


def _any_spelling(text: str, star: str) -> str:
    """The index keeps ß apart from ss, as unicode61 does; rules do not."""
    spellings = dict.fromkeys((text, text.replace("ß", "ss"), text.replace("ss", "ß")))
    return "(" + " OR ".join(f'"{spaced_out(each)}"{"*" if star else ""}' for each in spellings) + ")"


Part = tuple[str, tuple[Any, ...]]


def _of_columns(filters: Filters) -> list[Part]:
    parts: list[Part] = [
        (f"recordings.{column} IN (SELECT value FROM json_each(?))", (json.dumps(values),))  # noqa: S608 - ours
        for column, values in (
            ("id", filters.ids),
            ("state", filters.states),
            ("average_sentiment", filters.sentiments),
        )
        if values
    ]
    parts += [
        (f"{column} {comparison} ?", (moment,))
        for column, comparison, moment in (
            ("recordings.first_seen_at", ">=", filters.since),
            ("recordings.first_seen_at", "<", filters.until),
            (_RECORDED_AT, ">=", filters.recorded_since),
            (_RECORDED_AT, "<", filters.recorded_until),
            (MADE_AT, ">=", filters.made_since),
            (MADE_AT, "<", filters.made_until),
        )
        if moment is not None
    ]
    if filters.folder is not None:
        below = filters.folder.rstrip("/") + "/"
        parts.append(
            (
                "(recordings.folder = ? OR substr(recordings.path, 1, ?) = ?)",
                (filters.folder, len(below), below),
            )
        )
    if filters.no_sentiment:
        parts.append(("recordings.average_sentiment IS NULL", ()))
    if filters.not_analyzed:
        parts.append(("recordings.id IN (SELECT id FROM recordings WHERE not_analyzed <> '{}')", ()))
    return parts


def _of_labels(db: Database, filters: Filters) -> list[Part]:
    return [
        (
            f"recordings.id IN (SELECT recording_id FROM {table}"  # noqa: S608 - our own names
            f" WHERE {label} IN (SELECT value FROM json_each(?)))",
            (json.dumps([each for each in distinct(db, table, label) if _fits_any(each, patterns)]),),
        )
        for table, label, patterns in (
            ("intents", "intent", filters.intents),
            ("topics", "topic", filters.topics),
        )
        if patterns
    ]


def distinct(db: Database, table: str, column: str) -> list[str]:
    """Return all texts of a column that has an index, each found by one step in it."""
    found = tuples(
        db,
        f"""
        WITH RECURSIVE known (text) AS (
            SELECT min({column}) FROM {table} UNION ALL
            SELECT (SELECT min({column}) FROM {table} WHERE {column} > known.text) FROM known
            WHERE text IS NOT NULL
        ) SELECT text FROM known WHERE text IS NOT NULL
        """,  # noqa: S608 - our own names
    )
    return [each for (each,) in found]


def _fits_any(label: str, patterns: tuple[str, ...]) -> bool:
    return any(pattern_matches(pattern, label) for pattern in patterns)


def _of_other_tables(db: Database, filters: Filters) -> list[Part]:
    parts: list[Part] = [_of_metadata(db, *pair) for pair in filters.where]
    if filters.text is not None:
        matching = "SELECT rowid FROM recordings_fts WHERE recordings_fts MATCH ?"
        parts.append((f"recordings.id IN ({matching})", (match_expression(filters.text),)))
    if filters.worst_below is not None:
        passage = "SELECT 1 FROM worst_scores WHERE recording_id = recordings.id AND score <= ?"
        parts.append((f"EXISTS ({passage})", (filters.worst_below,)))
    if filters.rule is not None:
        told = "SELECT recording_id FROM alerts, json_each(rules) WHERE value = ?"
        parts.append((f"recordings.id IN ({told})", (filters.rule,)))
    if filters.alerted:
        fired = "SELECT recording_id FROM alerts WHERE state <> 'suppressed'"
        parts.append((f"recordings.id IN ({fired})", ()))
    return parts


def _of_metadata(db: Database, key: str, pattern: str) -> Part:
    """A plain value is compared by the index, which knows the letter case of ASCII alone."""
    values = [pattern]
    if not pattern.isascii() or {"*", "?"} & set(pattern):
        values = [each for each in metadata_values(db, key) if pattern_matches(pattern, each)]
    these = "key = ? AND value IN (SELECT value FROM json_each(?))"
    sql = f"SELECT recording_id FROM metadata_values WHERE {these}"  # noqa: S608 - our own text
    return f"recordings.id IN ({sql})", (key, json.dumps(values))


def metadata_values(db: Database, key: str) -> list[str]:
    """Return all values of a key of the metadata, once for all spellings in capital and small letters."""
    found = tuples(db, "SELECT DISTINCT value FROM metadata_values WHERE key = ?", (key,))
    return [each for (each,) in found]
