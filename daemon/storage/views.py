"""Reading the database for people: rows as the public tables have them, without earshot's own bookkeeping.

Nothing here writes. JSON columns come out as the values they hold.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from daemon.models import RecordingState
from daemon.storage.connection import Database
from daemon.storage.database import rows, tuples, value
from daemon.storage.filters import NARROW, Filters, condition, match_expression, matching_ids
from daemon.storage.not_taken import REASONS, not_taken
from daemon.storage.snippets import snippet

Row = dict[str, Any]

HIDDEN_COLUMNS = (
    "source",
    "is_url",
    "request_key",
    "quiet",
    "crashes",
    "doubtful",
    "failures",
    "failing_since",
    "part_words",
    "anew",
    "queued_at",
    "again",
    "used_reply",
    "digest",
    "about",
    "due_at",
)
"""Columns of `recordings` and `alerts` that are earshot's own."""

JSON_COLUMNS = ("tags", "metadata", "not_analyzed", "rules")
SNIPPET_WORDS = 16
BATCH_ROWS = 200
MOST_RANKED = 1000
RECENT_NAMES = 2000
"""In which a name like one that was mistyped is looked for."""
EVERYTHING = Filters()


def recording_counts(db: Database) -> dict[str, int]:
    """Return the number of recordings in each state, 0 included.

    Those that are done, nearly all, are the rest: the number of all rows is known without reading them.
    """
    others = [state.value for state in RecordingState if state is not RecordingState.DONE]
    sql = """
        SELECT state, count(*) AS n FROM recordings
        WHERE state IN (SELECT value FROM json_each(?)) GROUP BY state
        UNION ALL SELECT 'all', count(*) FROM recordings
        """
    found = {row["state"]: row["n"] for row in rows(db, sql, (json.dumps(others),))}
    everything = found.pop("all")
    counts = {state.value: 0 for state in RecordingState} | found
    return counts | {RecordingState.DONE.value: everything - sum(found.values())}


def states_now(db: Database, states: Sequence[str]) -> dict[str, int]:
    """Return the number of recordings in these states alone, which an index tells at once."""
    sql = "SELECT count(*) FROM recordings WHERE state = ?"
    return {state: value(db, sql, (state,)) for state in states}


def newest_recording(db: Database) -> int:
    """Return the highest id, 0 without recordings."""
    return int(value(db, "SELECT coalesce(max(id), 0) FROM recordings"))


def waiting_since(db: Database) -> str | None:
    """Return since when the longest waiting recording has waited, or None.

    One that a person put back into the queue begins to wait anew.
    """
    # By itself SQLite would read every waiting recording.
    since: str | None = value(
        db,
        "SELECT min(coalesce(queued_at, first_seen_at)) FROM recordings INDEXED BY recordings_waiting"
        " WHERE state = 'waiting'",
    )
    return since


def recording_numbers(db: Database) -> list[Row]:
    """Return how many recordings (`count`) of each `folder` are in each `state`."""
    return rows(db, "SELECT folder, state, count(*) AS count FROM recordings GROUP BY folder, state")


def alert_numbers(db: Database) -> list[Row]:
    """Return how many alerts (`count`) of each `destination` are in each `state`."""
    return rows(db, "SELECT destination, state, count(*) AS count FROM alerts GROUP BY state, destination")


def pause_row(db: Database) -> Row | None:
    """Return the `reason` why the queue is paused and `since` when, or None; several causes are joined."""
    found = rows(db, "SELECT reason, since FROM pauses ORDER BY since, cause")
    if not found:
        return None
    return {"reason": "; ".join(row["reason"] for row in found), "since": found[0]["since"]}


def pause_rows(db: Database) -> list[Row]:
    """Return all pauses: cause, folder (None: several or all), reason, since; oldest first."""
    return rows(
        db,
        "SELECT cause, iif(cause = 'limit', nullif(scope, ''), NULL) AS folder, reason, since"
        " FROM pauses ORDER BY since, cause, scope",
    )


def folder_rows(db: Database) -> dict[str, Row]:
    """Return what is known of each folder, by path. `left_alone` counts what `existing: skip` passed over,
    `missed_by_events` what only a listing found although events are watched, `not_taken` other files passed
    over, by reason (REASONS)."""
    found = rows(
        db,
        """
        SELECT path, method, reason, settle_seconds, available, first_seen_at, last_scan_at,
            missed_by_events, (
            SELECT count(*) FROM recordings
            WHERE recordings.folder = folders.path AND state = 'skipped' AND error_code = 'existing'
        ) AS left_alone
        FROM folders ORDER BY path
        """,
    )
    counts = not_taken(db)
    return {
        row["path"]: row
        | {
            "available": bool(row["available"]),
            "not_taken": counts.get(row["path"], dict.fromkeys(REASONS, 0)),
        }
        for row in found
    }


def available_folders(db: Database) -> set[str]:
    """Return the folders that could be read at the last look."""
    return {path for (path,) in tuples(db, "SELECT path FROM folders WHERE available")}


def left_alone(db: Database, folders: Iterable[str]) -> Iterator[Row]:
    """Yield what `existing: skip` left in these folders: id, folder, source, is_url, size_bytes; by id."""
    names, after = json.dumps(list(folders)), 0
    while batch := rows(
        db,
        """
        SELECT id, folder, source, is_url, size_bytes FROM recordings
        WHERE id > ? AND state = 'skipped' AND error_code = 'existing'
            AND folder IN (SELECT value FROM json_each(?)) ORDER BY id LIMIT 1000
        """,
        (after, names),
    ):
        yield from batch
        after = batch[-1]["id"]


def sources(db: Database, ids: Sequence[int]) -> Iterator[Row]:
    """Yield where these recordings are: id, folder, source, is_url, size_bytes; reads in batches."""
    columns = ("id", "folder", "source", "is_url", "size_bytes")
    return ({name: row[name] for name in columns} for row in _in_batches(db, "recordings", ids))


def list_recordings(
    db: Database, filters: Filters, *, order: str = "received", limit: int | None = None
) -> Iterator[Row]:
    """Yield the wanted recordings, in one of ORDERS; a backlog need not fit into memory."""
    return recordings_by_ids(db, matching_ids(db, filters, order=order, limit=limit))


def recordings_by_ids(db: Database, ids: Sequence[int]) -> Iterator[Row]:
    """Yield these recordings in the order of the ids, without missing ones; reads in batches."""
    return map(_public, _in_batches(db, "recordings", ids))


def recording_columns(db: Database) -> tuple[str, ...]:
    """Return the public columns of `recordings`, in order."""
    found = rows(db, "SELECT name FROM pragma_table_info('recordings') ORDER BY cid")
    return tuple(row["name"] for row in found if row["name"] not in HIDDEN_COLUMNS)


def count_recordings(db: Database, filters: Filters) -> int:
    """Count the wanted recordings."""
    where, values = condition(db, filters)
    found = rows(db, f"SELECT count(*) AS n FROM {NARROW} WHERE {where}", values)  # noqa: S608
    count: int = found[0]["n"]
    return count


def recording(db: Database, recording_id: int) -> Row | None:
    """Return a recording with `sentiments`, `topics`, `intents` and `alerts`, or None."""
    found = rows(db, "SELECT * FROM recordings WHERE id = ?", (recording_id,))
    if not found:
        return None
    parts = {
        table: rows(db, f"SELECT * FROM {table} WHERE recording_id = ? ORDER BY position", (recording_id,))  # noqa: S608
        for table in ("sentiments", "topics", "intents")
    }
    fired = rows(db, "SELECT * FROM alerts WHERE recording_id = ? ORDER BY id", (recording_id,))
    return _public(found[0]) | parts | {"alerts": [_public(row) for row in fired]}


def newest_recordings(db: Database, count: int) -> list[int]:
    """Return the ids of the recordings that came last, the newest first."""
    return [
        row_id for (row_id,) in tuples(db, "SELECT id FROM recordings ORDER BY id DESC LIMIT ?", (count,))
    ]


def recordings_named(db: Database, named: str, path: str) -> list[int]:
    """Return the recordings with this id, else this path, else this name, the newest first.

    `path` is what the name is as a path, in full.
    """
    wanted: list[tuple[str, tuple[Any, ...]]] = [
        ("path IN (?, ?)", (named, path)),
        ("name = ?", (named,)),
    ]
    if named.isdecimal() and int(named) < 2**63:
        wanted.insert(0, ("id = ?", (int(named),)))
    for where, values in wanted:
        sql = f"SELECT id FROM {NARROW} WHERE {where} ORDER BY id DESC"  # noqa: S608 - the texts above
        if found := [row_id for (row_id,) in tuples(db, sql, values)]:
            return found
    return []


def nearest_name(db: Database, name: str) -> str | None:
    """Return the recent recording's name that is most like this one, None when none is."""
    found = tuples(db, "SELECT name FROM recordings ORDER BY id DESC LIMIT ?", (RECENT_NAMES,))
    names = [each for (each,) in found]
    parts = [each for each in names if name.casefold() in each.casefold()]
    return next(iter(parts or difflib.get_close_matches(name, names, n=1)), None)


def search(
    db: Database,
    words: str,
    limit: int,
    filters: Filters = EVERYTHING,
    *,
    marks: tuple[str, str] = ("[", "]"),
    most_ranked: int = MOST_RANKED,
) -> list[Row]:
    """Return wanted recordings with all these words in transcript, summary or name, best first.

    Of more than `most_ranked` the newest come first: words that are in so many say little about any, and to
    compare them all takes long. Each has a `snippet`, with `marks` around what was found.
    `word*` finds words that begin with it, `"two words"` a phrase. All else is text,
    never syntax.
    """
    # First which, then what is in them: otherwise the texts of all are read and cut out, to be sorted.
    found = _found(db, words, filters, max(limit, most_ranked + 1))
    if len(found) <= most_ranked:
        found = _best_first(db, words, found)
    return [
        row | {"snippet": snippet(db, words, row["id"], marks, SNIPPET_WORDS) or ""}
        for row in recordings_by_ids(db, found[:limit])
    ]


def _found(db: Database, words: str, filters: Filters, limit: int) -> list[int]:
    """Return the newest recordings with these words."""
    where, values = condition(db, filters)
    # With a +, or each id were looked for in the index of words by itself.
    among = "1" if filters == EVERYTHING else f"+rowid IN (SELECT id FROM {NARROW} WHERE {where})"  # noqa: S608
    found = tuples(
        db,
        f"SELECT rowid FROM recordings_fts WHERE recordings_fts MATCH ? AND {among}"  # noqa: S608 - our own text
        " ORDER BY rowid DESC LIMIT ?",
        (match_expression(words), *values, limit),
    )
    return [row_id for (row_id,) in found]


def _best_first(db: Database, words: str, ids: Sequence[int]) -> list[int]:
    found = tuples(
        db,
        "SELECT rowid FROM recordings_fts WHERE recordings_fts MATCH ?"
        " AND +rowid IN (SELECT value FROM json_each(?)) ORDER BY bm25(recordings_fts), rowid DESC",
        (match_expression(words), json.dumps(ids)),
    )
    return [row_id for (row_id,) in found]


def alerts_list(
    db: Database,
    *,
    states: tuple[str, ...],
    limit: int | None,
    table: Literal["alerts", "webhooks"] = "alerts",
) -> Iterator[Row]:
    """Yield alerts, or messages to other programs, newest first, without bodies."""
    found = tuples(
        db,
        f"SELECT id FROM {table} WHERE :states = '[]' OR state IN (SELECT value FROM json_each(:states))"  # noqa: S608
        " ORDER BY id DESC LIMIT :limit",
        {"states": json.dumps(states), "limit": -1 if limit is None else limit},
    )
    hidden = ("body", *HIDDEN_COLUMNS)
    return (_public(row, hidden) for row in _in_batches(db, table, [row_id for (row_id,) in found]))


def alert(db: Database, alert_id: int) -> Row | None:
    """Return an alert with its body, or None."""
    found = rows(db, "SELECT * FROM alerts WHERE id = ?", (alert_id,))
    return _public(found[0]) if found else None


def _public(row: Row, hidden: tuple[str, ...] = HIDDEN_COLUMNS) -> Row:
    return {
        column: json.loads(value) if column in JSON_COLUMNS and value is not None else value
        for column, value in row.items()
        if column not in hidden
    }


def _in_batches(db: Database, table: str, ids: Sequence[int]) -> Iterator[Row]:
    """Yield rows in the order of these ids; missing ones are left out.

    With one long SELECT, a pager that is left open would keep SQLite from ever shortening its write-ahead
    log.
    """
    for start in range(0, len(ids), BATCH_ROWS):
        batch = list(ids[start : start + BATCH_ROWS])
        sql = f"SELECT * FROM {table} WHERE id IN (SELECT value FROM json_each(?))"  # noqa: S608 - our own names
        by_id = {row["id"]: row for row in rows(db, sql, (json.dumps(batch),))}
        yield from (by_id[row_id] for row_id in batch if row_id in by_id)
