"""`earshot list`, `search` and `retry`: recordings as rows."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.columns import columns_option, picked, wanted_columns
from daemon.cli.consent import say_limits
from daemon.cli.filters import filter_options
from daemon.cli.options import (
    Context,
    configuration_options,
    json_option,
    limit_option,
    pass_context,
    row_id,
    row_limit,
    say_error,
)
from daemon.cli.output import (
    ON_TERMINAL_ROWS,
    local_time,
    plural,
    print_json,
    print_json_rows,
    print_table,
    score,
)
from daemon.errors import EXIT_FAILED
from daemon.logs import escaped
from daemon.models import RecordingState
from daemon.text import shown_clock

if TYPE_CHECKING:
    from sqlite_utils import Database

    from daemon.storage.filters import Filters

SEARCH_HITS = 20
SORTS = ("received", "recorded", "length", "sentiment", "cost", "name")
"""As in storage/filters.py: the newest, longest, worst, dearest first; names from A."""


@click.command("list", epilog="Example: earshot list --state failed --since 24h")
@configuration_options
@filter_options
@limit_option
@click.option("--sort", type=click.Choice(SORTS), default=SORTS[0], show_default=True)
@columns_option
@click.option("--csv", "as_csv", is_flag=True, help="Print a table for spreadsheets.")
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
    """List recordings, the newest first."""
    from daemon.storage.views import list_recordings

    if as_csv and as_json:
        raise click.UsageError("--csv or --json, not both")
    is_shown = not as_json and not as_csv and sys.stdout.isatty()
    if limit is None and is_shown:
        limit = ON_TERMINAL_ROWS
    found = list_recordings(context.database, filters, order=sort, limit=limit)
    if as_csv:
        _print_csv(context.database, found, columns)
    elif as_json:
        chosen = wanted_columns(context.database, columns)
        print_json_rows(picked(row, chosen) for row in found)
    else:
        _print_list(context.database, found, columns)
    if is_shown:
        _say_how_many(context.database, filters, limit)


def _print_csv(db: Database, found: Iterator[dict[str, Any]], columns: Sequence[str]) -> None:
    from daemon.export.table import csv_lines

    for line in csv_lines(found, wanted_columns(db, columns)):
        click.echo(line, nl=False)


def _print_list(db: Database, found: Iterator[dict[str, Any]], columns: Sequence[str]) -> None:
    if columns:
        chosen = wanted_columns(db, columns)
        cells = ([_shown(value) for value in picked(row, chosen).values()] for row in found)
        print_table(chosen, cells, stretch=(chosen[-1],))
        return
    print_table(
        ("id", "state", "first seen", "length", "result", "name"),
        (_cells(row) for row in found),
        stretch=("name",),
        numbers=("id", "length"),
    )


def _say_how_many(db: Database, filters: Filters, limit: int | None) -> None:
    from daemon.storage.views import count_recordings

    total = count_recordings(db, filters)
    if limit is not None and total > limit:
        click.echo(f"the first {limit} of {total}; --limit shows more")


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return " ".join(value.split()) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@click.command(epilog="""Example: earshot search 'refund* "credit card"'""")
@configuration_options
@click.argument("words", nargs=-1, required=True)
@filter_options
@click.option(
    "--limit", metavar="N", type=row_limit, default=SEARCH_HITS, show_default=True, help="Hits at most."
)
@json_option
@pass_context
def search(context: Context, words: tuple[str, ...], *, filters: Filters, limit: int, as_json: bool) -> None:
    """Search transcripts, summaries and names for WORDS.

    All of them must be there; the best hits come first.
    word* finds words that begin with it; "two words" in quotes (which your shell must keep) finds a phrase.
    """
    from daemon.storage.views import search as find

    hits = find(context.database, " ".join(words), limit, filters)
    if as_json:
        print_json(hits)
        return
    for hit in hits:
        click.echo(escaped(f"{hit['id']:>6}  {hit['name']}"))
        click.echo(f"        {escaped(' '.join(hit['snippet'].split()))}")
    if not hits:
        click.echo("nothing found", err=True)


@click.command(epilog="Example: earshot retry 17 18   or: earshot retry --failed   or: earshot retry")
@configuration_options
@click.argument("ids", nargs=-1, type=row_id, metavar="[ID]...")
@click.option("--failed", is_flag=True, help="All failed recordings.")
@click.option(
    "--anew",
    is_flag=True,
    help="Duplicates too: analyzed, and paid for, although the same bytes or address were analyzed before.",
)
@pass_context
def retry(context: Context, ids: tuple[int, ...], *, failed: bool, anew: bool) -> None:
    """Put failed or skipped recordings back in the queue.

    A paused queue tries again at once. Alone, without an id or --failed, it also frees what a limit holds,
    until the limit's hour, day or month ends.
    """
    from daemon.storage.database import transaction
    from daemon.storage.limits import limits_holding
    from daemon.storage.queue import requeue, requeue_failed

    if ids and failed:
        raise click.UsageError("name recordings by their ids, or all failed ones by --failed")
    if anew and not ids:
        raise click.UsageError("--anew is for recordings that you name by their ids")
    now = datetime.now(UTC)
    if not ids and not failed:
        _end_pauses(context, now)
        return
    if failed:
        with transaction(context.database) as db:
            count = requeue_failed(db, now)
        click.echo(f"{plural(count, 'recording')} back in the queue")
        return
    with transaction(context.database) as db:
        refused = requeue(db, ids, now, anew=anew)
    done = set(ids) - refused.keys()
    if done:
        click.echo(f"{plural(len(done), 'recording')} back in the queue")
        say_limits(limits_holding(context.database, done))
    for reason in refused.values():
        say_error(reason)
    if refused:
        click.get_current_context().exit(EXIT_FAILED)


def _end_pauses(context: Context, now: datetime) -> None:
    from daemon.storage.database import transaction
    from daemon.storage.limits import lift_limits
    from daemon.storage.pauses import pauses, probe_now

    with transaction(context.database) as db:
        lifted = lift_limits(db, now)
        probe_now(db, now)
        left = len(pauses(db))
    if lifted:
        click.echo(f"{plural(lifted, 'limit')} let go until the next hour, day or month that it counts by")
    if left:
        click.echo("the paused queue tries a recording at once")
    if not lifted and not left:
        click.echo("nothing is paused; `earshot retry --failed` tries what failed again")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    length = row["duration_seconds"]
    return (
        str(row["id"]),
        row["state"],
        local_time(row["first_seen_at"]),
        "" if length is None else shown_clock(length),
        _result(row),
        row["name"],
    )


def _result(row: dict[str, Any]) -> str:
    """Return sentiment, error code or the original's id."""
    if row["state"] == RecordingState.DUPLICATE:
        return f"of {row['duplicate_of'] or '?'}"
    if row["state"] == RecordingState.DONE:
        if row["average_sentiment"] is None:
            return "not analyzed"
        return f"{row['average_sentiment']} {score(row['average_sentiment_score'])}".rstrip()
    return row["error_code"] or ""
