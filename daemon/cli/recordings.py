"""`earshot list`: recordings as rows."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.columns import (
    columns_option,
    csv_option,
    picked,
    print_columns,
    print_csv,
    wanted_columns,
)
from daemon.cli.filters import filter_options
from daemon.cli.look import SENTIMENTS, STATES
from daemon.cli.options import Context, configuration_options, json_option, limit_option, pass_context
from daemon.cli.output import ON_TERMINAL_ROWS, Cell, local_time, print_json_rows, print_table, score
from daemon.models import RecordingState
from daemon.text import shown_clock

if TYPE_CHECKING:
    from daemon.storage.connection import Database
    from daemon.storage.filters import Filters

SORTS = ("received", "recorded", "length", "sentiment", "cost", "name")
"""As in storage/filters.py: the newest, longest, worst, dearest first; names from A."""
NONE = "there are no such recordings"


@click.command("list", epilog="Example: earshot list --state failed --since 24h")
@configuration_options
@filter_options
@limit_option
@click.option("--sort", type=click.Choice(SORTS), default=SORTS[0], show_default=True)
@columns_option
@csv_option
@json_option
@pass_context
def list_command(
    context: Context,
    *,
    filters: Filters,
    limit: int | None,
    sort: str,
    columns: tuple[str, ...],
    as_csv: bool,
    as_json: bool,
) -> None:
    """List recordings, the newest first.

    `recorded` is when it was recorded, by its name; where that is not known, when it came. Then come the
    columns that `filename_pattern` fills. A narrow terminal leaves out what does not fit; --columns chooses.
    """
    from daemon.storage.views import list_recordings

    if as_csv and as_json:
        raise click.UsageError("--csv or --json, not both")
    is_shown = not as_json and not as_csv and sys.stdout.isatty()
    if limit is None and is_shown:
        limit = ON_TERMINAL_ROWS
    found = list_recordings(context.database, filters, order=sort, limit=limit)
    if as_csv:
        print_csv(found, wanted_columns(context.database, columns))
    elif as_json:
        chosen = wanted_columns(context.database, columns)
        print_json_rows(picked(row, chosen) for row in found)
    else:
        _print_list(context, found, columns)
    if is_shown:
        _say_how_many(context.database, filters, limit)


def _print_list(context: Context, found: Iterator[dict[str, Any]], columns: Sequence[str]) -> None:
    if columns:
        print_columns(found, wanted_columns(context.database, columns), none=NONE)
        return
    keys = _metadata_keys(context)
    print_table(
        ("id", "state", "recorded", "result", "length", "folder", *keys, "name"),
        (_cells(row, keys) for row in found),
        stretch=("folder", *reversed(keys), "name"),
        droppable=(*reversed(keys[1:]), "folder", *keys[:1]),
        numbers=("id", "length"),
        keeps_end=("name",),
        none=NONE,
    )


def _metadata_keys(context: Context) -> tuple[str, ...]:
    """Return what the filename patterns of the folders find out, each key once."""
    from daemon.config.filenames import field_names

    try:
        names = [name for pattern in context.glance.filename_patterns for name in field_names(pattern)]
    except ValueError:
        # `earshot check` says what is wrong with it.
        return ()
    return tuple(dict.fromkeys(names))


def _say_how_many(db: Database, filters: Filters, limit: int | None) -> None:
    from daemon.storage.views import count_recordings

    total = count_recordings(db, filters)
    if limit is not None and total > limit:
        click.echo(f"the first {limit} of {total}; --limit shows more")


def _cells(row: dict[str, Any], keys: Sequence[str]) -> tuple[Cell, ...]:
    length = row["duration_seconds"]
    # By its last part, as people know it.
    folder = (row["folder"] or "").rstrip("/").rpartition("/")[2]
    return (
        str(row["id"]),
        (row["state"], STATES.get(row["state"], "")),
        local_time(row["recorded_at"] or row["first_seen_at"]),
        _result(row),
        "" if length is None else shown_clock(length),
        folder,
        *(row["metadata"].get(key, "") for key in keys),
        row["name"],
    )


def _result(row: dict[str, Any]) -> Cell:
    """Return sentiment, error code or the original's id."""
    if row["state"] == RecordingState.DUPLICATE:
        return f"of {row['duplicate_of'] or '?'}"
    if row["state"] != RecordingState.DONE:
        return row["error_code"] or "", STATES.get(row["state"], "")
    label = row["average_sentiment"]
    if label is None:
        return "not analyzed"
    return f"{label} {score(row['average_sentiment_score'])}".rstrip(), SENTIMENTS.get(label, "")
